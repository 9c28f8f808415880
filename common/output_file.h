// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "common/file_system.h"

namespace vrwkv {

/// A file that grows under a temporary name and goes away unless it is committed.
class OutputFile {
 public:
  /// @throws IoError.
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// The temporary name: what is there already is overwritten.
  static std::filesystem::path partial_path(const std::filesystem::path& path);
  std::uint64_t position() const { return position_; }
  /// @throws IoError.
  void append(std::string_view bytes);
  /// Overwrites what was appended before. @throws IoError.
  void patch(std::uint64_t position, std::string_view bytes);
  /// Syncs, renames and syncs the folder. @throws IoError.
  void commit();

 private:
  void write_at(std::uint64_t position, std::string_view bytes);

  std::filesystem::path path_;
  std::filesystem::path partial_;
  FileDescriptor file_;
  std::uint64_t position_ = 0;
};

}  // namespace vrwkv
