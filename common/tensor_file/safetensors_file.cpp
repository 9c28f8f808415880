// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/safetensors_file.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "common/tensor_file/byte_reader.h"

namespace vrwkv::tensor_file {
namespace {

namespace dom = simdjson::dom;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // the format's own limit

struct Type {
  std::string_view name;
  ElementType type;
  std::int64_t bytes;
};
constexpr std::array kTypes = {
    Type{"F64", ElementType::kFloat64, 8},  Type{"F32", ElementType::kFloat32, 4},
    Type{"F16", ElementType::kFloat16, 2},  Type{"BF16", ElementType::kBFloat16, 2},
    Type{"I64", ElementType::kOther, 8},    Type{"U64", ElementType::kOther, 8},
    Type{"I32", ElementType::kOther, 4},    Type{"U32", ElementType::kOther, 4},
    Type{"I16", ElementType::kOther, 2},    Type{"U16", ElementType::kOther, 2},
    Type{"I8", ElementType::kOther, 1},     Type{"U8", ElementType::kOther, 1},
    Type{"BOOL", ElementType::kOther, 1},   Type{"F8_E4M3", ElementType::kOther, 1},
    Type{"F8_E5M2", ElementType::kOther, 1}};

std::uint64_t header_bytes(std::string_view bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length;
}

std::vector<std::int64_t> row_major_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d > 1; --d)
    strides[d - 2] = strides[d - 1] * std::max<std::int64_t>(shape[d - 1], 1);
  return strides;
}

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {
    data_begin_ = kLengthBytes + header_bytes(bytes);
    if (header_bytes(bytes) > kMostHeaderBytes || data_begin_ > bytes.size())
      throw_damaged(name, "its header is longer than the file");
  }

  Contents read() {
    dom::parser parser;
    dom::object header;
    if (parser.parse(bytes_.data() + kLengthBytes, data_begin_ - kLengthBytes).get(header))
      throw_damaged(name_, "its header is no JSON object");
    Contents contents;
    for (const auto [key, value] : header) {
      if (key == "__metadata__") {
        read_metadata(value, contents);
      } else {
        contents.tensors.push_back(tensor(std::string(key), value));
      }
    }
    std::sort(contents.tensors.begin(), contents.tensors.end(),
              [](const auto& a, const auto& b) { return a.begin < b.begin; });
    return contents;
  }

 private:
  void read_metadata(dom::element value, Contents& contents) const {
    dom::object entries;
    if (value.get(entries)) throw_damaged(name_, "its metadata are no JSON object");
    for (const auto [key, text] : entries) {
      std::string_view view;
      if (text.get(view)) throw_damaged(name_, "its metadata are no texts");
      contents.metadata.emplace(key, view);
    }
  }

  [[noreturn]] void refuse(const std::string& tensor, const char* what) const {
    throw_damaged(name_, fmt::format("tensor '{}' {}", tensor, what));
  }

  StoredTensor tensor(std::string tensor_name, dom::element value) const {
    StoredTensor result{.name = std::move(tensor_name)};
    dom::array shape, offsets;
    std::string_view type_name;
    if (value["dtype"].get(type_name) || value["shape"].get(shape) || value["data_offsets"].get(offsets))
      refuse(result.name, "lacks dtype, shape or data_offsets");
    const auto type =
        std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& t) { return t.name == type_name; });
    if (type == kTypes.end()) refuse(result.name, "has an unknown dtype");
    result.type = type->type;
    result.element_bytes = type->bytes;
    auto bytes =
        static_cast<std::uint64_t>(type->bytes);  // as if no size were 0, which so cannot hide huge ones
    for (const dom::element extent : shape) {
      std::uint64_t size = 0;
      if (extent.get(size) || size > bytes_.size() || result.shape.size() == 32)
        refuse(result.name, "has a wrong shape");
      result.shape.push_back(static_cast<std::int64_t>(size));
      if (__builtin_mul_overflow(bytes, std::max<std::uint64_t>(size, 1), &bytes) || bytes > bytes_.size())
        refuse(result.name, "is larger than the file");
    }
    if (result.numel() == 0) bytes = 0;
    std::array<std::uint64_t, 2> range{};
    std::size_t count = 0;
    for (const dom::element offset : offsets)
      if (count == 2 || offset.get(range[count++])) refuse(result.name, "has wrong data_offsets");
    if (count != 2 || range[0] > range[1] || range[1] > bytes_.size() - data_begin_ ||
        range[1] - range[0] != bytes)
      refuse(result.name, "has data_offsets that do not fit its shape or the file");
    result.strides = row_major_strides(result.shape);
    result.begin = data_begin_ + range[0];
    return result;
  }

  std::string_view bytes_;
  const std::string& name_;
  std::uint64_t data_begin_ = 0;
};

}  // namespace

bool is_safetensors_file(std::string_view bytes) {
  return bytes.size() > kLengthBytes && bytes[kLengthBytes] == '{';
}

Contents parse_safetensors_file(std::string_view bytes, const std::string& name) {
  return Reader(bytes, name).read();
}

}  // namespace vrwkv::tensor_file
