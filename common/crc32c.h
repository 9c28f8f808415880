// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace vrwkv {

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes` bytes; pass the previous result to go on with a
/// stream. Uses the processor's instruction where there is one.
std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t previous = 0) noexcept;

struct FileChecksum {
  std::uint64_t bytes = 0;
  std::uint32_t crc32c = 0;
};
/// Size and checksum of a whole file. @throws IoError when it cannot be read.
FileChecksum checksum_file(const std::filesystem::path& path);

}  // namespace vrwkv
