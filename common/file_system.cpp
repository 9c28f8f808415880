// SPDX-License-Identifier: Apache-2.0
#include "common/file_system.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "common/error.h"

namespace vrwkv {
namespace {

/// A name beside a file that no other process takes; what has it goes away in the end, unless it was renamed.
class TemporaryName {
 public:
  explicit TemporaryName(const std::filesystem::path& file) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    path_ = fmt::format("{}.partial-{}-{}", file.string(), host.data(), ::getpid());
  }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  ~TemporaryName() { ::unlink(path_.c_str()); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw IoError("{}: cannot be opened ({})", path.string(), std::strerror(errno));
  std::string content{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) throw IoError("{}: cannot be read ({})", path.string(), std::strerror(errno));
  return content;
}

FileDescriptor open_to_read(const std::filesystem::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw IoError("{}: cannot be opened ({}).", path.string(), std::strerror(errno));
  return file;
}

std::size_t read_at(const FileDescriptor& file, const std::filesystem::path& path, std::uint64_t offset,
                    std::span<char> to) {
  std::size_t filled = 0;
  while (filled < to.size()) {
    const ssize_t got =
        ::pread(file.get(), to.data() + filled, to.size() - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError("{}: cannot be read ({}).", path.string(), std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

bool write_all(int descriptor, std::string_view content) noexcept {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::int64_t modification_time_ns(const struct stat& status) noexcept {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

void require_replaceable(const std::filesystem::path& path) {
  std::error_code unknown;
  const auto status = std::filesystem::status(path, unknown);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw IoError("{}: is no file that could be replaced. Name a file.", path.string());
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  require_replaceable(path);
  const TemporaryName partial(path);
  {
    const FileDescriptor file(::open(partial.path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) throw IoError("{}: cannot be created ({})", partial.path().string(), std::strerror(errno));
    if (!write_all(file.get(), content))
      throw IoError("{}: cannot be written ({})", partial.path().string(), std::strerror(errno));
    if (::fsync(file.get()) != 0)
      throw IoError("{}: cannot be synced ({})", partial.path().string(), std::strerror(errno));
  }
  if (std::rename(partial.path().c_str(), path.c_str()) != 0)
    throw IoError("{}: cannot be replaced ({})", path.string(), std::strerror(errno));
  sync_to_disk(path.parent_path().empty() ? std::filesystem::path(".") : path.parent_path());
}

void sync_to_disk(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw IoError("{}: cannot be opened ({})", path.string(), std::strerror(errno));
  // Some file systems cannot sync a folder and say EINVAL; there is nothing left to wait for then.
  if (::fsync(file.get()) != 0 && errno != EINVAL)
    throw IoError("{}: cannot be synced ({})", path.string(), std::strerror(errno));
}

void create_directories(const std::filesystem::path& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) throw IoError("{}: cannot be created ({})", path.string(), failure.message());
}

}  // namespace vrwkv
