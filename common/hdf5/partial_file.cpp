// SPDX-License-Identifier: Apache-2.0
#include "common/hdf5/partial_file.h"

#include "common/error.h"
#include "common/file_system.h"

namespace vrwkv::hdf5 {

PartialFile::PartialFile(const std::filesystem::path& path)
    : path_(path), partial_(path.string() + ".partial") {
  require_replaceable(path_);
  if (path_.has_parent_path()) vrwkv::create_directories(path_.parent_path());
  remove();
  file_.emplace(File::create(partial_));
}

PartialFile::~PartialFile() {
  file_.reset();
  remove();
}

void PartialFile::commit() {
  file_->close();
  sync_to_disk(partial_);
  std::error_code failure;
  std::filesystem::rename(partial_, path_, failure);
  if (failure) throw IoError("{}: cannot be written ({})", path_.string(), failure.message());
}

void PartialFile::remove() const noexcept {
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
}

}  // namespace vrwkv::hdf5
