// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/storage/image_store.h"
#include "data/storage/tar_index.h"

namespace vrwkv::data {

/// The members of tar shards, as if they were unpacked into one folder, one shard after the other. Holds 40
/// bytes a member.
class TarStore final : public ImageStore {
 public:
  /// Indexes the shards that have no index yet (see index_tar()).
  /// @throws DataError when one cannot be read or is damaged.
  explicit TarStore(std::vector<std::filesystem::path> shards);

  std::vector<std::uint8_t> read(const std::string& name) const override;
  std::optional<std::uint64_t> size(const std::string& name) const override;
  std::string describe(const std::string& name) const override;
  std::int64_t members() const { return static_cast<std::int64_t>(members_.size()); }

 private:
  struct Member {
    TarPlace place;
    std::uint32_t shard = 0;
  };
  /// Null when no shard has it.
  const Member* find(const std::string& name) const;

  std::vector<std::filesystem::path> shards_;
  std::vector<Member> members_;  ///< by name
};

}  // namespace vrwkv::data
