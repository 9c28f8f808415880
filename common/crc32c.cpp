// SPDX-License-Identifier: Apache-2.0
#include "common/crc32c.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    table.at(byte) = crc;
  }
  return table;
}
constexpr auto kTable = make_table();

std::uint32_t update_by_table(std::uint32_t crc, const unsigned char* data, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) crc = (crc >> 8) ^ kTable[(crc ^ data[i]) & 0xffU];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t update_by_instruction(std::uint32_t crc,
                                                                      const unsigned char* data,
                                                                      std::size_t bytes) noexcept {
  std::uint64_t wide = crc;
  for (; bytes >= 8; bytes -= 8, data += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  return update_by_table(static_cast<std::uint32_t>(wide), data, bytes);
}
#endif

}  // namespace

std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t previous) noexcept {
  const auto* first = static_cast<const unsigned char*>(data);
  const std::uint32_t crc = ~previous;
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return ~update_by_instruction(crc, first, bytes);
#endif
  return ~update_by_table(crc, first, bytes);
}

FileChecksum checksum_file(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw IoError("{}: cannot be opened ({})", path.string(), std::strerror(errno));
  std::vector<unsigned char> buffer(std::size_t{1} << 20);
  FileChecksum result;
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError("{}: cannot be read ({})", path.string(), std::strerror(errno));
    if (got == 0) return result;
    result.crc32c = crc32c(buffer.data(), static_cast<std::size_t>(got), result.crc32c);
    result.bytes += static_cast<std::uint64_t>(got);
  }
}

}  // namespace vrwkv
