// SPDX-License-Identifier: Apache-2.0
#include "common/output_file.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "common/error.h"

namespace vrwkv {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw IoError("{}: cannot be written ({}).", path.string(), std::strerror(errno));
}

}  // namespace

std::filesystem::path OutputFile::partial_path(const std::filesystem::path& path) {
  return path.string() + ".partial";
}

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)), partial_(partial_path(path_)) {
  require_replaceable(path_);
  if (path_.has_parent_path()) vrwkv::create_directories(path_.parent_path());
  file_ = FileDescriptor(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file_) fail(partial_);
}

OutputFile::~OutputFile() {
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
}

void OutputFile::append(std::string_view bytes) {
  write_at(position_, bytes);
  position_ += bytes.size();
}

void OutputFile::patch(std::uint64_t position, std::string_view bytes) { write_at(position, bytes); }

void OutputFile::write_at(std::uint64_t position, std::string_view bytes) {
  while (!bytes.empty()) {
    const ::ssize_t written =
        ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<::off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(partial_);
    position += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputFile::commit() {
  if (::fsync(file_.get()) != 0) fail(partial_);
  if (::close(file_.take()) != 0) fail(partial_);
  std::error_code failure;
  std::filesystem::rename(partial_, path_, failure);
  if (failure) throw IoError("{}: cannot be written ({}).", path_.string(), failure.message());
  sync_to_disk(path_.has_parent_path() ? path_.parent_path() : std::filesystem::path("."));
}

}  // namespace vrwkv
