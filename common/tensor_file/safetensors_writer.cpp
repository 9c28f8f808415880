// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/safetensors_writer.h"

#include <nlohmann/json.hpp>

#include "common/error.h"

namespace vrwkv::tensor_file {
namespace {

const char* type_name(OutputType type) {
  if (type == OutputType::kFloat32) return "F32";
  return type == OutputType::kFloat16 ? "F16" : "BF16";
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<TensorHeader>& tensors, OutputType type,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t begin = 0;
  for (const TensorHeader& tensor : tensors) {
    const auto bytes = static_cast<std::uint64_t>(tensor.numel() * element_bytes(type));
    header[tensor.name] = {
        {"dtype", type_name(type)}, {"shape", tensor.shape}, {"data_offsets", {begin, begin + bytes}}};
    begin += bytes;
  }
  // A path in the metadata may be no UTF-8; JSON must be.
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data start on a multiple of 8
  const std::uint64_t length = text.size();
  file_.append({reinterpret_cast<const char*>(&length), sizeof length});
  file_.append(text);
  end_ = file_.position() + begin;
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  file_.append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void SafetensorsWriter::finish() {
  if (file_.position() != end_)
    throw ShapeError("safetensors: {} bytes were written, not {}", file_.position(), end_);
  file_.commit();
}

}  // namespace vrwkv::tensor_file
