// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/mapped_file.h"

namespace vrwkv::tensor_file {

enum class ElementType { kFloat64, kFloat32, kFloat16, kBFloat16, kOther };

/// Where a tensor lies in a file. What it says was checked: every element is inside the file, and there are
/// not more of them than the file has room for, though strides of 0 may repeat some.
struct StoredTensor {
  std::string name;
  ElementType type = ElementType::kOther;
  std::int64_t element_bytes = 0;
  std::vector<std::int64_t> shape = {};
  std::vector<std::int64_t> strides = {};  ///< in elements
  std::uint64_t begin = 0;                 ///< of element 0, in bytes from the file's start

  std::int64_t numel() const;
  /// Bytes from the first element to the end of the last one; 0 without elements.
  std::uint64_t span_bytes() const;
};

/// A file of named tensors, memory-mapped: PyTorch's zip format (torch.save since 1.6) or safetensors, told
/// apart by the first bytes.
///
/// From a PyTorch file it takes a dictionary of tensors, or one that lies under "state_dict" or "model" in
/// it. The pickle is interpreted by a small machine that knows tensors, dictionaries, lists and plain values:
/// nothing else is ever constructed, no code can run. Storages may be shared, tensors may have offsets and
/// strides and come from any device. Memory is bounded by a small multiple of the pickle's size.
class TensorFile {
 public:
  /// @throws ConfigError when there is no such file, or it is of another format.
  /// @throws CheckpointError when it is damaged, or holds what the machine does not know; nothing is kept
  /// then.
  static TensorFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return file_.path(); }
  /// In the file's order; names are distinct.
  const std::vector<StoredTensor>& tensors() const noexcept { return tensors_; }
  /// Free texts (safetensors' `__metadata__`).
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  /// The address of a tensor's element 0; valid while this file lives.
  const void* data(const StoredTensor& tensor) const noexcept {
    return file_.content().data() + tensor.begin;
  }
  /// Lets go of the memory behind a tensor, which stays readable.
  void drop(const StoredTensor& tensor) const noexcept;

 private:
  TensorFile(MappedFile file, std::vector<StoredTensor> tensors, std::map<std::string, std::string> metadata)
      : file_(std::move(file)), tensors_(std::move(tensors)), metadata_(std::move(metadata)) {}

  MappedFile file_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// What the parsers of the two formats find.
struct Contents {
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads the directory of tensors out of a file's bytes, whatever they are; TensorFile::open without the
/// file.
/// @param name  stands for the file in messages.
Contents parse(std::string_view bytes, const std::string& name);

}  // namespace vrwkv::tensor_file
