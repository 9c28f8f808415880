// SPDX-License-Identifier: Apache-2.0
// Bytes as a tar file, as one whose headers have right checksums, and as the index of one: refused as bad
// data, or members that lie within the file.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "common/error.h"
#include "data/storage/tar_index.h"
#include "data/storage/tar_reader.h"

namespace {

constexpr std::size_t kBlock = 512, kChecksum = 148, kChecksumLength = 8;

void mend_checksum(char* header) {
  if (std::all_of(header, header + kBlock, [](char byte) { return byte == 0; })) return;
  std::memset(header + kChecksum, ' ', kChecksumLength);
  unsigned sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(header[i]);
  std::snprintf(header + kChecksum, kChecksumLength, "%06o", sum);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace vrwkv::data;
  const auto check = [&](std::uint64_t offset, std::uint64_t count) {
    if (count > size || offset > size - count) __builtin_trap();
  };
  for (const bool mends : {false, true}) {
    const ReadAt read_at = [&](std::uint64_t offset, std::size_t count, char* to) {
      const std::size_t given = offset < size ? std::min<std::size_t>(count, size - offset) : 0;
      std::memcpy(to, bytes + offset, given);
      if (mends && given == kBlock) mend_checksum(to);
      return given;
    };
    try {
      for (const TarMember& member : list_tar("fuzz", size, read_at)) check(member.offset, member.bytes);
    } catch (const vrwkv::DataError&) {
    }
  }
  const std::string_view all(reinterpret_cast<const char*>(bytes), size);
  if (const auto places = parse_tar_index(all, size, 0))
    for (const TarPlace& place : *places) check(place.offset, place.bytes);
  return 0;
}
