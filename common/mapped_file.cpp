// SPDX-License-Identifier: Apache-2.0
#include "common/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, int reason) {
  throw IoError("{}: cannot be opened ({}).", path.string(), std::strerror(reason));
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  // Without waiting for somebody to write into what turns out to be a pipe.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) refuse(path, errno);
  if (S_ISDIR(status.st_mode)) refuse(path, EISDIR);
  if (!S_ISREG(status.st_mode)) throw IoError("{}: is a pipe or a device. Name a file.", path.string());
  if (status.st_size == 0) return;
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* const begin = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.get(), 0);
  if (begin == MAP_FAILED) refuse(path, errno);
  content_ = {static_cast<const char*>(begin), bytes};
}

MappedFile::~MappedFile() {
  if (!content_.empty()) ::munmap(const_cast<char*>(content_.data()), content_.size());
}

void MappedFile::drop(std::size_t begin, std::size_t count) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t first = (begin + page - 1) / page * page;  // a page that is shared with neighbours stays
  const std::size_t last = (begin + count) / page * page;
  if (first < last) ::madvise(const_cast<char*>(content_.data()) + first, last - first, MADV_DONTNEED);
}

}  // namespace vrwkv
