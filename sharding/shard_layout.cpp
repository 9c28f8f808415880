// SPDX-License-Identifier: Apache-2.0
#include "sharding/shard_layout.h"

#include "common/error.h"

namespace vrwkv::sharding {

ShardLayout::ShardLayout(std::int64_t numel, int world_size)
    : numel_(numel), blocks_((numel + kShardBlock - 1) / kShardBlock), world_size_(world_size) {
  if (numel < 0 || world_size < 1)
    throw ShapeError("shard layout: {} elements over {} ranks (needs 0 or more over 1 or more).", numel,
                     world_size);
}

std::int64_t ShardLayout::largest_shard() const noexcept {
  return (blocks_ + world_size_ - 1) / world_size_ * kShardBlock;
}

}  // namespace vrwkv::sharding
