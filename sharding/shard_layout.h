// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vrwkv::sharding {

/// Shard edges lie on blocks of this many elements of the flat parameter order. It is the block of the
/// gradient norm too, so every such block has exactly one owner.
inline constexpr std::int64_t kShardBlock = 65536;

/// Who owns which elements of the flat parameter order: contiguous runs of blocks, as even as possible. With
/// more ranks than blocks some ranks own nothing. The padded length does not depend on the world size.
class ShardLayout {
 public:
  /// @param numel  elements to share out, 0 or more.  @throws ShapeError when negative, or without ranks.
  ShardLayout(std::int64_t numel, int world_size);

  std::int64_t numel() const noexcept { return numel_; }
  std::int64_t padded_numel() const noexcept { return blocks_ * kShardBlock; }
  int world_size() const noexcept { return world_size_; }

  std::int64_t shard_begin(int rank) const noexcept { return blocks_ * rank / world_size_ * kShardBlock; }
  std::int64_t shard_end(int rank) const noexcept { return shard_begin(rank + 1); }
  std::int64_t shard_numel(int rank) const noexcept { return shard_end(rank) - shard_begin(rank); }
  std::int64_t largest_shard() const noexcept;

  bool operator==(const ShardLayout&) const = default;

 private:
  std::int64_t numel_;
  std::int64_t blocks_;
  int world_size_;
};

}  // namespace vrwkv::sharding
