// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "common/unique_handle.h"

namespace vrwkv {

struct FileDescriptorTraits {
  using type = int;
  static constexpr int null() noexcept { return -1; }
  static void release(int descriptor) noexcept { ::close(descriptor); }
};
/// Owns one POSIX file descriptor.
using FileDescriptor = UniqueHandle<FileDescriptorTraits>;

/// The whole file as bytes. @throws IoError when it cannot be read.
std::string read_file(const std::filesystem::path& path);
/// Opens a file to read from. @throws IoError "file: cannot be opened (reason)."
FileDescriptor open_to_read(const std::filesystem::path& path);
/// Fills `to` with a file's bytes from `offset` on, as far as they go, and says how many there were. A file
/// that another process cuts off just ends. @param path  names it in messages. @throws IoError when it cannot
/// be read.
std::size_t read_at(const FileDescriptor& file, const std::filesystem::path& path, std::uint64_t offset,
                    std::span<char> to);
/// Writes all bytes, also when the system takes them in parts. False, with errno, when it does not take them.
bool write_all(int descriptor, std::string_view content) noexcept;
/// When a file was last written, in nanoseconds since 1970.
std::int64_t modification_time_ns(const struct stat& status) noexcept;
/// A rename onto a device or a pipe would remove it.
/// @throws IoError when there is something at `path` that is no file.
void require_replaceable(const std::filesystem::path& path);
/// Replaces `path` by `content` so that a reader, also after a power cut, sees the old file or the new one:
/// writes beside it, syncs, renames, syncs the folder. Processes that replace a file at once each write their
/// own; the last one stays. @throws IoError (a full disk among others); the old file then stays.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);
/// Waits until a file's, or a folder's, content is on the disk. @throws IoError.
void sync_to_disk(const std::filesystem::path& path);
/// Creates the folder and its parents. @throws IoError.
void create_directories(const std::filesystem::path& path);

}  // namespace vrwkv
