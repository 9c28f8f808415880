// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <filesystem>
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
/// Replaces `path` by `content` so that a reader, also after a power cut, sees the old file or the new one:
/// writes beside it, syncs, renames, syncs the folder. @throws IoError (a full disk among others); the old
/// file then stays.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);
/// Waits until a file's, or a folder's, content is on the disk. @throws IoError.
void sync_to_disk(const std::filesystem::path& path);
/// Creates the folder and its parents. @throws IoError.
void create_directories(const std::filesystem::path& path);

}  // namespace vrwkv
