// SPDX-License-Identifier: Apache-2.0
#include "sharding/grad_norm.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "common/error.h"
#include "kernels/squared_norm/squared_norm.h"

namespace vrwkv::sharding {

static_assert(kShardBlock == kernels::kNormBlock, "shard edges must lie on the blocks of the norm");

double global_grad_norm(const at::Tensor& shard_gradient, const ShardLayout& layout,
                        Collectives& collectives) {
  const std::int64_t expected = layout.shard_numel(collectives.rank());
  if (shard_gradient.numel() != expected)
    throw ShapeError("gradient norm: a shard of {} elements, but this rank's has {}.", shard_gradient.numel(),
                     expected);
  std::vector<double> mine;
  if (expected > 0) {
    const at::Tensor blocks = kernels::squared_norm_blocks(shard_gradient).cpu();
    const auto* first = blocks.const_data_ptr<double>();
    mine.assign(first, first + blocks.numel());
  }
  double sum = 0;
  for (const double block : collectives.all_gather(mine, "gradient norm")) sum += block;
  return std::sqrt(sum);
}

}  // namespace vrwkv::sharding
