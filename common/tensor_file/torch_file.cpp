// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/torch_file.h"

#include <algorithm>
#include <array>
#include <optional>

#include "common/tensor_file/byte_reader.h"
#include "common/tensor_file/unpickler.h"
#include "common/tensor_file/zip_directory.h"

namespace vrwkv::tensor_file {
namespace {

constexpr std::size_t kMostPickleBytes = 64 << 20;
constexpr std::size_t kMostDimensions = 32;

struct StorageType {
  std::string_view name;
  ElementType type;
  std::int64_t bytes;
};
constexpr std::array kStorageTypes = {StorageType{"DoubleStorage", ElementType::kFloat64, 8},
                                      StorageType{"FloatStorage", ElementType::kFloat32, 4},
                                      StorageType{"HalfStorage", ElementType::kFloat16, 2},
                                      StorageType{"BFloat16Storage", ElementType::kBFloat16, 2},
                                      StorageType{"LongStorage", ElementType::kOther, 8},
                                      StorageType{"IntStorage", ElementType::kOther, 4},
                                      StorageType{"ShortStorage", ElementType::kOther, 2},
                                      StorageType{"CharStorage", ElementType::kOther, 1},
                                      StorageType{"ByteStorage", ElementType::kOther, 1},
                                      StorageType{"BoolStorage", ElementType::kOther, 1}};

/// Turns the pickle's tensors into places in the file.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name)
      : bytes_(bytes), name_(name), entries_(read_zip_directory(bytes, name)) {
    constexpr std::string_view kPickle = "/data.pkl";
    for (const auto& [entry, content] : entries_)
      if (entry.ends_with(kPickle) && entry.find('/') == entry.size() - kPickle.size())
        folder_ = entry.substr(0, entry.size() - kPickle.size());
    if (!folder_)
      throw ConfigError(
          "{}: is a zip archive without data.pkl (torch.save did not write it). Name a file of "
          "weights.",
          name);
  }

  std::vector<StoredTensor> read() {
    const auto order = entries_.find(*folder_ + "/byteorder");
    if (order != entries_.end() && order->second != "little")
      throw CheckpointError("{}: was saved on a big-endian machine. Save it again on a little-endian one.",
                            name_);
    const std::string_view content = entries_.at(*folder_ + "/data.pkl");
    if (content.size() > kMostPickleBytes)
      throw CheckpointError("{}: its data.pkl has {} bytes (no model's has).", name_, content.size());
    pickle_ = unpickle(content, name_);
    const PickleObject& dictionary = find_dictionary();
    std::vector<StoredTensor> tensors;
    for (std::size_t i = 0; i + 1 < dictionary.elements.size(); i += 2) {
      const PickleObject& key = pickle_.at(dictionary.elements[i]);
      const PickleObject& value = pickle_.at(dictionary.elements[i + 1]);
      if (value.kind != PickleKind::kTensor) continue;
      if (key.kind != PickleKind::kText) throw_damaged(name_, "a tensor's key is no text");
      tensors.push_back(stored(std::string(key.text), value));
    }
    return tensors;
  }

 private:
  bool holds_tensors(const PickleObject& object) const {
    if (object.kind != PickleKind::kDict) return false;
    for (std::size_t i = 1; i < object.elements.size(); i += 2)
      if (pickle_.at(object.elements[i]).kind == PickleKind::kTensor) return true;
    return false;
  }

  /// The saved dictionary itself, or the one under a usual key of it.
  const PickleObject& find_dictionary() const {
    const PickleObject& root = pickle_.at(pickle_.root);
    if (holds_tensors(root)) return root;
    if (root.kind == PickleKind::kDict)
      for (const char* usual : {"state_dict", "model"})
        for (std::size_t i = 0; i + 1 < root.elements.size(); i += 2)
          if (pickle_.at(root.elements[i]).text == usual && holds_tensors(pickle_.at(root.elements[i + 1])))
            return pickle_.at(root.elements[i + 1]);
    throw ConfigError("{}: holds no dictionary of tensors. Save a model's state_dict with torch.save.",
                      name_);
  }

  std::int64_t integer(PickleObject::Ref ref) const {
    if (pickle_.at(ref).kind != PickleKind::kInteger) throw_damaged(name_, "a tensor's size is no integer");
    return pickle_.at(ref).integer;
  }
  std::vector<std::int64_t> integers(PickleObject::Ref ref) const {
    const PickleObject& tuple = pickle_.at(ref);
    if (tuple.kind != PickleKind::kTuple && tuple.kind != PickleKind::kList)
      throw_damaged(name_, "a tensor's sizes are no tuple");
    if (tuple.elements.size() > kMostDimensions) throw_damaged(name_, "a tensor has too many dimensions");
    std::vector<std::int64_t> values;
    for (const auto element : tuple.elements) values.push_back(integer(element));
    return values;
  }

  struct Storage {
    StorageType type;
    std::string_view content;
  };
  /// From ('storage', torch.FloatStorage, '0', 'cuda:0', elements); the device does not matter.
  Storage storage_of(PickleObject::Ref ref) const {
    const PickleObject& object = pickle_.at(ref);
    if (object.kind != PickleKind::kStorage) throw_damaged(name_, "a tensor has no storage");
    const std::vector<PickleObject::Ref>& id = pickle_.at(object.elements[0]).elements;
    if (id.size() < 5 || pickle_.at(id[0]).text != "storage" || pickle_.at(id[1]).kind != PickleKind::kGlobal)
      throw_damaged(name_, "a storage is described in an unknown way");
    const std::string_view type_name = pickle_.at(id[1]).name;
    const auto entry = entries_.find(fmt::format("{}/data/{}", *folder_, pickle_.at(id[2]).text));
    if (entry == entries_.end()) throw_damaged(name_, "a storage is missing");
    for (const StorageType& type : kStorageTypes)
      if (type.name == type_name) return {type, entry->second};
    throw CheckpointError("{}: holds a {} (only floating-point and integer tensors are read).", name_,
                          type_name);
  }

  StoredTensor stored(std::string tensor_name, const PickleObject& tensor) const {
    const Storage storage = storage_of(tensor.elements[0]);
    const std::int64_t offset = integer(tensor.elements[1]);
    StoredTensor result{.name = std::move(tensor_name),
                        .type = storage.type.type,
                        .element_bytes = storage.type.bytes,
                        .shape = integers(tensor.elements[2]),
                        .strides = integers(tensor.elements[3])};
    check_inside(result, offset, static_cast<std::int64_t>(storage.content.size()) / storage.type.bytes);
    result.begin = static_cast<std::uint64_t>(storage.content.data() - bytes_.data()) +
                   static_cast<std::uint64_t>(offset * storage.type.bytes);
    return result;
  }

  /// Every element; and no tensor is larger than the file: a stride of 0 could otherwise make terabytes.
  void check_inside(const StoredTensor& tensor, std::int64_t offset, std::int64_t elements) const {
    const auto most = static_cast<std::int64_t>(bytes_.size()) / tensor.element_bytes;
    bool inside = tensor.shape.size() == tensor.strides.size() && offset >= 0 && offset <= elements;
    bool empty = false;
    std::int64_t last = offset;
    std::int64_t count = 1;
    for (std::size_t d = 0; inside && d < tensor.shape.size(); ++d) {
      const std::int64_t size = tensor.shape[d];
      std::int64_t reach = 0;
      empty = empty || size == 0;
      inside = size >= 0 && tensor.strides[d] >= 0 &&
               !__builtin_mul_overflow(std::max<std::int64_t>(size - 1, 0), tensor.strides[d], &reach) &&
               !__builtin_add_overflow(last, reach, &last) &&
               !__builtin_mul_overflow(count, std::max<std::int64_t>(size, 1), &count) && count <= most;
    }
    inside = inside && (empty || last < elements);
    if (!inside)
      throw_damaged(
          name_, fmt::format("tensor '{}' reaches beyond its storage of {} elements", tensor.name, elements));
  }

  std::string_view bytes_;
  const std::string& name_;
  ZipEntries entries_;
  std::optional<std::string> folder_;
  Pickle pickle_;
};

}  // namespace

bool is_torch_file(std::string_view bytes) { return bytes.starts_with("PK\x03\x04"); }

bool is_legacy_torch_file(std::string_view bytes) {
  // The pickled magic number 0x1950a86a20f9469cfc6c.
  return bytes.starts_with("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
}

std::vector<StoredTensor> parse_torch_file(std::string_view bytes, const std::string& name) {
  return Reader(bytes, name).read();
}

}  // namespace vrwkv::tensor_file
