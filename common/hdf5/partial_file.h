// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "common/hdf5/file.h"

namespace vrwkv::hdf5 {

/// A file under a temporary name, which goes away unless it is committed.
class PartialFile {
 public:
  /// Makes the folders on its way. @throws IoError.
  explicit PartialFile(const std::filesystem::path& path);
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile();

  File& file() { return *file_; }
  /// Gives it its name, over a file that has it. @throws IoError.
  void commit();

 private:
  void remove() const noexcept;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::optional<File> file_;
};

}  // namespace vrwkv::hdf5
