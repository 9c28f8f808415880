// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/file_system.h"
#include "data/storage/image_store.h"

namespace vrwkv::data {

/// A store before which a folder on a fast local disk keeps what was read, up to a limit. Processes of one
/// machine may share the folder, also for several stores.
///
/// Each file is one entry with its name, size and checksum: an entry that a crash left torn, or that a disk
/// damaged, is read again from the store. Entries appear by a rename. Their bytes are counted, under a lock,
/// before they are written, so that they stay within the limit, but for what others are writing while one
/// counts the folder anew, an entry for each; what was used longest ago goes first. An entry is never
/// compared with the store again: whoever changes images empties the cache. A cache that cannot be written (a
/// full disk) is not written: reads go on.
class CachedStore final : public ImageStore {
 public:
  /// @param identity  tells stores that share a folder apart: what was opened.
  /// @throws IoError when the folder cannot be made or written.
  CachedStore(std::shared_ptr<const ImageStore> store, const std::string& identity,
              std::filesystem::path folder, std::uint64_t limit_bytes);

  std::vector<std::uint8_t> read(const std::string& name) const override;
  std::optional<std::uint64_t> size(const std::string& name) const override { return store_->size(name); }
  std::string describe(const std::string& name) const override { return store_->describe(name); }

 private:
  std::filesystem::path path_of(const std::string& key) const;
  bool make_room(std::uint64_t bytes) const;
  std::uint64_t drop_oldest(std::uint64_t most_bytes) const;

  std::shared_ptr<const ImageStore> store_;
  std::string identity_;
  std::filesystem::path folder_;
  std::uint64_t limit_bytes_;
  FileDescriptor tally_;      ///< the file `tally`: the bytes of all entries, and the lock
  mutable std::mutex mutex_;  ///< the lock is the process's; this is a thread's
};

}  // namespace vrwkv::data
