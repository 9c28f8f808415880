// SPDX-License-Identifier: Apache-2.0
#include "data/storage/cached_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include "common/crc32c.h"
#include "common/error.h"
#include "data/storage/tar_index.h"

namespace vrwkv::data {
namespace {

namespace fs = std::filesystem;

/// An entry: this, then the key, then the file's bytes.
struct EntryHeader {
  std::uint64_t magic = 0x3177'656e'4372'7756;
  std::uint64_t key_bytes = 0, bytes = 0;
  std::uint64_t checksum = 0;  ///< CRC-32C of key and bytes
};
constexpr const char* kTally = "tally";
/// Of the limit: what stays when room is made, so that it is made seldom, and the largest entry.
constexpr std::uint64_t kKeptEighths = 7;

std::uint32_t checksum_of(const std::string& key, const std::vector<std::uint8_t>& bytes) {
  return crc32c(bytes.data(), bytes.size(), crc32c(key.data(), key.size()));
}

bool read_all(int file, void* to, std::size_t count) {
  auto* bytes = static_cast<char*>(to);
  while (count > 0) {
    const ssize_t got = ::read(file, bytes, count);
    if (got <= 0) return false;
    bytes += got;
    count -= static_cast<std::size_t>(got);
  }
  return true;
}

/// The bytes of anything, to be written.
std::string_view bytes_of(const void* from, std::size_t count) {
  return {static_cast<const char*>(from), count};
}

/// The entry's bytes, and its time of use set to now; nothing when it is not whole or of another key.
std::optional<std::vector<std::uint8_t>> read_entry(const fs::path& path, const std::string& key) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  EntryHeader header;
  const std::uint64_t magic = header.magic;
  if (!file || ::fstat(file.get(), &status) != 0 || !read_all(file.get(), &header, sizeof header) ||
      header.magic != magic || header.key_bytes != key.size() ||
      header.bytes != static_cast<std::uint64_t>(status.st_size) - sizeof header - key.size())
    return std::nullopt;
  std::string its_key(key.size(), '\0');
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(header.bytes));
  if (!read_all(file.get(), its_key.data(), its_key.size()) ||
      !read_all(file.get(), bytes.data(), bytes.size()) || its_key != key ||
      header.checksum != checksum_of(key, bytes))
    return std::nullopt;
  ::futimens(file.get(), nullptr);
  return bytes;
}

bool write_entry(const fs::path& path, const std::string& key, const std::vector<std::uint8_t>& bytes) {
  static std::atomic<std::uint64_t> count{0};
  const fs::path partial = path.parent_path() / fmt::format("{}.{}.partial", ::getpid(), count++);
  EntryHeader header;
  header.key_bytes = key.size();
  header.bytes = bytes.size();
  header.checksum = checksum_of(key, bytes);
  const FileDescriptor file(::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const bool is_whole = file && write_all(file.get(), bytes_of(&header, sizeof header)) &&
                        write_all(file.get(), key) &&
                        write_all(file.get(), bytes_of(bytes.data(), bytes.size())) &&
                        ::rename(partial.c_str(), path.c_str()) == 0;
  if (!is_whole) ::unlink(partial.c_str());
  return is_whole;
}

struct Entry {
  fs::path path;
  std::uint64_t bytes = 0;
  std::int64_t used = 0;  ///< nanoseconds since 1970
};

/// All entries, what is being written among them. One that another process drops meanwhile may be missing.
std::vector<Entry> entries_of(const fs::path& folder) {
  std::vector<Entry> entries;
  std::error_code failure;
  for (fs::directory_iterator subfolder(folder, failure), end; !failure && subfolder != end;
       subfolder.increment(failure)) {
    std::error_code inner;
    if (!subfolder->is_directory(inner)) continue;
    for (fs::directory_iterator file(subfolder->path(), inner); !inner && file != end;
         file.increment(inner)) {
      struct stat status {};
      if (::stat(file->path().c_str(), &status) != 0) continue;
      entries.push_back(
          {file->path(), static_cast<std::uint64_t>(status.st_size), modification_time_ns(status)});
    }
  }
  return entries;
}

}  // namespace

CachedStore::CachedStore(std::shared_ptr<const ImageStore> store, const std::string& identity,
                         fs::path folder, std::uint64_t limit_bytes)
    : store_(std::move(store)), identity_(identity), folder_(std::move(folder)), limit_bytes_(limit_bytes) {
  for (int i = 0; i < 256; ++i) vrwkv::create_directories(folder_ / fmt::format("{:02x}", i));
  tally_ = FileDescriptor(::open((folder_ / kTally).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!tally_)
    throw IoError("{}: cannot be written ({}). Choose another [data] image_cache.",
                  (folder_ / kTally).string(), std::strerror(errno));
}

std::vector<std::uint8_t> CachedStore::read(const std::string& name) const {
  const std::string key = identity_ + '\0' + name;
  const fs::path path = path_of(key);
  if (auto bytes = read_entry(path, key)) return *std::move(bytes);
  std::vector<std::uint8_t> bytes = store_->read(name);
  const std::uint64_t entry_bytes = sizeof(EntryHeader) + key.size() + bytes.size();
  if (entry_bytes <= limit_bytes_ - limit_bytes_ * kKeptEighths / 8 && make_room(entry_bytes))
    write_entry(path, key, bytes);
  return bytes;
}

fs::path CachedStore::path_of(const std::string& key) const {
  const NameKey hash = key_of(key);
  const std::string name = fmt::format("{:016x}{:08x}", hash.hash, hash.check);
  return folder_ / name.substr(0, 2) / name;
}

/// Counts an entry in, and drops others where the limit is passed. False when the tally cannot be written.
bool CachedStore::make_room(std::uint64_t bytes) const {
  const std::lock_guard guard(mutex_);
  if (::flock(tally_.get(), LOCK_EX) != 0) return false;
  std::uint64_t total = 0;
  // A tally that is not there yet, or torn, is counted.
  if (::pread(tally_.get(), &total, sizeof total, 0) != sizeof total || total > limit_bytes_)
    total = drop_oldest(limit_bytes_);
  if (total + bytes > limit_bytes_) total = drop_oldest(limit_bytes_ * kKeptEighths / 8);
  total += bytes;
  const bool is_counted = ::pwrite(tally_.get(), &total, sizeof total, 0) == sizeof total;
  ::flock(tally_.get(), LOCK_UN);
  return is_counted;
}

/// Drops what was used longest ago until at most so many bytes are left. Returns how many are.
std::uint64_t CachedStore::drop_oldest(std::uint64_t most_bytes) const {
  std::vector<Entry> entries = entries_of(folder_);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  std::uint64_t total = 0;
  for (const Entry& entry : entries) total += entry.bytes;
  for (const Entry& entry : entries) {
    if (total <= most_bytes) break;
    if (::unlink(entry.path.c_str()) == 0 || errno == ENOENT) total -= entry.bytes;
  }
  return total;
}

}  // namespace vrwkv::data
