// SPDX-License-Identifier: Apache-2.0
#include "data/storage/tar_index.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "common/random.h"
#include "data/storage/tar_reader.h"

namespace vrwkv::data {
namespace {

/// The index file: this, then the places. Numbers are as the machine has them; what another kind of machine
/// wrote has another magic number and is made again.
struct IndexHeader {
  std::uint64_t magic = 0x31784449'72615456;  // "VTarIDx1"
  std::uint64_t tar_bytes = 0;
  std::int64_t tar_time = 0;  ///< nanoseconds since 1970
  std::uint64_t count = 0;
  std::uint64_t checksum = 0;  ///< CRC-32C of the places
};
static_assert(sizeof(IndexHeader) == 40 && sizeof(TarPlace) == 32);

bool is_before(const TarPlace& a, const TarPlace& b) { return a.name < b.name; }

std::vector<TarPlace> places_of(const std::vector<TarMember>& members) {
  std::vector<TarPlace> places;
  places.reserve(members.size());
  // Backwards, so that the last of a name comes first and unique() keeps it.
  for (auto member = members.rbegin(); member != members.rend(); ++member)
    places.push_back({key_of(member->name), member->offset, member->bytes});
  std::stable_sort(places.begin(), places.end(), is_before);
  const auto end = std::unique(places.begin(), places.end(),
                               [](const TarPlace& a, const TarPlace& b) { return a.name == b.name; });
  places.erase(end, places.end());
  return places;
}

}  // namespace

NameKey key_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  return {mix64(hash), crc32c(name.data(), name.size())};
}

std::string write_tar_index(const std::vector<TarPlace>& places, std::uint64_t tar_bytes,
                            std::int64_t tar_time) {
  IndexHeader header;
  header.tar_bytes = tar_bytes;
  header.tar_time = tar_time;
  header.count = places.size();
  std::string bytes(sizeof header + places.size() * sizeof(TarPlace), '\0');
  char* out = bytes.data() + sizeof header;
  for (const TarPlace& place : places) {  // member by member: what lies between them stays zero
    std::memcpy(out, &place.name.hash, 8);
    std::memcpy(out + 8, &place.name.check, 4);
    std::memcpy(out + 16, &place.offset, 8);
    std::memcpy(out + 24, &place.bytes, 8);
    out += sizeof place;
  }
  header.checksum = crc32c(bytes.data() + sizeof header, bytes.size() - sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

std::optional<std::vector<TarPlace>> parse_tar_index(std::string_view bytes, std::uint64_t tar_bytes,
                                                     std::int64_t tar_time) {
  IndexHeader header;
  const std::uint64_t magic = header.magic;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes.remove_prefix(sizeof header);
  if (header.magic != magic || header.tar_bytes != tar_bytes || header.tar_time != tar_time ||
      header.count != bytes.size() / sizeof(TarPlace) || bytes.size() % sizeof(TarPlace) != 0 ||
      header.checksum != crc32c(bytes.data(), bytes.size()))
    return std::nullopt;
  std::vector<TarPlace> places(static_cast<std::size_t>(header.count));
  if (!places.empty()) std::memcpy(places.data(), bytes.data(), bytes.size());
  for (const TarPlace& place : places)
    if (place.bytes > tar_bytes || place.offset > tar_bytes - place.bytes) return std::nullopt;
  if (!std::is_sorted(places.begin(), places.end(), is_before)) return std::nullopt;
  return places;
}

std::vector<TarPlace> index_tar(const std::filesystem::path& tar) {
  const FileDescriptor file(::open(tar.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0)
    throw DataError("{}: cannot be read ({}). Check [data] image_folder.", tar.string(),
                    std::strerror(errno));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::int64_t time = modification_time_ns(status);

  std::filesystem::path index_path = tar;
  index_path += ".index";
  std::error_code ignored;
  if (std::filesystem::exists(index_path, ignored))
    if (auto places = parse_tar_index(read_file(index_path), size, time)) return *std::move(places);

  const std::vector<TarPlace> places =
      places_of(list_tar(tar.string(), size, [&](std::uint64_t offset, std::size_t count, char* to) {
        return read_at(file, tar, offset, {to, count});
      }));
  try {
    write_file_atomically(index_path, write_tar_index(places, size, time));
  } catch (const IoError&) {
    // A folder that cannot be written: the next process reads the headers again.
  }
  return places;
}

}  // namespace vrwkv::data
