// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>

namespace vrwkv {

/// A file's bytes, read-only, shared with every process that maps the same file.
class MappedFile {
 public:
  /// @throws IoError "file: cannot be opened (reason)."
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)), content_(std::exchange(other.content_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(content_, other.content_);
    return *this;
  }
  ~MappedFile();

  std::string_view content() const noexcept { return content_; }
  const std::filesystem::path& path() const noexcept { return path_; }

  /// Lets go of the memory behind bytes [begin, begin + count), which stay readable: they come from the file
  /// again.
  void drop(std::size_t begin, std::size_t count) const noexcept;

 private:
  std::filesystem::path path_;
  std::string_view content_;
};

}  // namespace vrwkv
