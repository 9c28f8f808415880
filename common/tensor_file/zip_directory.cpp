// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/zip_directory.h"

#include <algorithm>
#include <optional>

#include "common/tensor_file/byte_reader.h"

namespace vrwkv::tensor_file {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEndOfDirectory64 = 0x06064b50;
constexpr std::uint32_t kLocator64 = 0x07064b50;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::size_t kMostComment = 65535;
constexpr std::uint32_t kIn64 = 0xffffffff;  ///< the number stands in a zip64 field instead
constexpr std::uint16_t kExtra64 = 1;

struct Directory {
  std::uint64_t entries = 0;
  std::uint64_t begin = 0;
};

struct CentralEntry {
  std::string_view name;
  std::uint64_t size = 0;
  std::uint64_t header = 0;  ///< of the local header, from the archive's start
};

std::size_t find_end(std::string_view archive, const std::string& name) {
  const std::size_t window = std::min(archive.size(), kEndBytes + kMostComment);
  const std::string_view tail = archive.substr(archive.size() - window);
  const std::size_t found = tail.rfind(std::string_view("PK\x05\x06", 4));
  if (found == std::string_view::npos || tail.size() - found < kEndBytes)
    throw CheckpointError("{}: has no zip directory at its end (it was cut off). Fetch the file again.",
                          name);
  return archive.size() - window + found;
}

std::optional<Directory> find_directory64(std::string_view archive, std::size_t end,
                                          const std::string& name) {
  if (end < kLocatorBytes) return {};
  ByteReader locator(archive, name, end - kLocatorBytes);
  if (locator.number<std::uint32_t>() != kLocator64) return {};
  locator.take(4);
  const auto position = locator.number<std::uint64_t>();
  ByteReader record(archive, name, std::min<std::uint64_t>(position, archive.size()));
  if (record.number<std::uint32_t>() != kEndOfDirectory64)
    throw_damaged(name, "its zip64 directory is missing");
  record.take(8 + 2 + 2 + 4 + 4 + 8);
  const auto entries = record.number<std::uint64_t>();
  record.take(8);
  return Directory{entries, record.number<std::uint64_t>()};
}

Directory find_directory(std::string_view archive, const std::string& name) {
  const std::size_t end = find_end(archive, name);
  if (const auto directory = find_directory64(archive, end, name)) return *directory;
  ByteReader record(archive, name, end + 10);
  Directory directory;
  directory.entries = record.number<std::uint16_t>();
  record.take(4);
  directory.begin = record.number<std::uint32_t>();
  return directory;
}

/// Replaces what the 32-bit fields could not hold.
void read_extra64(CentralEntry& entry, std::uint32_t packed_size, std::string_view extra,
                  const std::string& name) {
  ByteReader fields(extra, name);
  while (fields.remaining() >= 4) {
    const auto id = fields.number<std::uint16_t>();
    const std::string_view content = fields.take(fields.number<std::uint16_t>());
    if (id != kExtra64) continue;
    ByteReader numbers(content, name);
    if (entry.size == kIn64) entry.size = numbers.number<std::uint64_t>();
    if (packed_size == kIn64) numbers.number<std::uint64_t>();
    if (entry.header == kIn64) entry.header = numbers.number<std::uint64_t>();
    return;
  }
}

CentralEntry read_central_entry(ByteReader& reader, const std::string& name) {
  if (reader.number<std::uint32_t>() != kCentralHeader) throw_damaged(name, "its zip directory is broken");
  reader.take(4);
  const auto flags = reader.number<std::uint16_t>();
  const auto method = reader.number<std::uint16_t>();
  reader.take(8);
  const auto packed_size = reader.number<std::uint32_t>();
  CentralEntry entry;
  entry.size = reader.number<std::uint32_t>();
  const auto name_bytes = reader.number<std::uint16_t>();
  const auto extra_bytes = reader.number<std::uint16_t>();
  const auto comment_bytes = reader.number<std::uint16_t>();
  reader.take(8);
  entry.header = reader.number<std::uint32_t>();
  entry.name = reader.take(name_bytes);
  const std::string_view extra = reader.take(extra_bytes);
  reader.take(comment_bytes);
  if (method != 0 || (flags & 1) != 0)
    throw CheckpointError(
        "{}: entry '{}' is compressed or encrypted (torch.save stores plainly). Save the file again with "
        "torch.save.",
        name, entry.name);
  read_extra64(entry, packed_size, extra, name);
  return entry;
}

std::string_view content_of(std::string_view archive, const CentralEntry& entry, const std::string& name) {
  ByteReader header(archive, name, std::min<std::uint64_t>(entry.header, archive.size()));
  if (header.number<std::uint32_t>() != kLocalHeader)
    throw_damaged(name, fmt::format("zip entry '{}' is not where the directory says", entry.name));
  header.take(22);
  const auto name_bytes = header.number<std::uint16_t>();
  const auto extra_bytes = header.number<std::uint16_t>();
  header.take(name_bytes);
  header.take(extra_bytes);
  return header.take(entry.size);
}

}  // namespace

ZipEntries read_zip_directory(std::string_view archive, const std::string& name) {
  const Directory directory = find_directory(archive, name);
  ByteReader reader(archive, name, std::min<std::uint64_t>(directory.begin, archive.size()));
  ZipEntries entries;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    const CentralEntry entry = read_central_entry(reader, name);
    if (!entries.emplace(entry.name, content_of(archive, entry, name)).second)
      throw_damaged(name, fmt::format("zip entry '{}' is there twice", entry.name));
  }
  return entries;
}

}  // namespace vrwkv::tensor_file
