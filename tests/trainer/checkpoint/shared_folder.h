// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "common/mpi/communicator.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::test {

/// One temporary folder for all ranks, removed once all are done with it. Collective to make and to leave.
class SharedFolder {
 public:
  explicit SharedFolder(const mpi::Communicator& comm) : comm_(comm) {
    if (comm.rank() == 0) own_.emplace();
    path_ = comm.broadcast(own_ ? own_->path().string() : std::string(), 0, "temporary folder");
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  ~SharedFolder() { comm_.barrier("end of a temporary folder"); }
  const std::filesystem::path& path() const { return path_; }

 private:
  const mpi::Communicator& comm_;
  std::optional<TemporaryDirectory> own_;
  std::filesystem::path path_;
};

}  // namespace vrwkv::test
