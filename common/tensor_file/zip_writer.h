// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/output_file.h"

namespace vrwkv::tensor_file {

/// An archive of stored entries as torch.save lays them out: every entry's bytes start on a multiple of 64.
class ZipWriter {
 public:
  /// @param folder  the first part of every entry's name.
  ZipWriter(const std::filesystem::path& path, std::string folder);

  /// Starts an entry of `bytes` bytes, which then come in pieces.
  void begin(const std::string& name, std::uint64_t bytes);
  void append(std::string_view bytes);
  void end();
  void add(const std::string& name, std::string_view content);
  /// Writes the directory and commits the file. @throws IoError.
  void finish();

 private:
  struct Entry {
    std::string name;
    std::uint64_t header = 0;
    std::uint64_t bytes = 0;
    std::uint32_t crc32 = 0;
  };

  OutputFile file_;
  std::string folder_;
  std::vector<Entry> entries_;
};

}  // namespace vrwkv::tensor_file
