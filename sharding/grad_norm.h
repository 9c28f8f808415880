// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "sharding/collectives.h"
#include "sharding/shard_layout.h"

namespace vrwkv::sharding {

/// Collective. The L2 norm of the whole flat gradient of which every rank holds its shard: fp64 sums of
/// squares over fixed blocks of kShardBlock elements, added in block order. The same bits on every rank and
/// for every world size; not finite when any element is not.
/// @param shard_gradient  (layout.shard_numel(rank)) fp32.  @throws ShapeError when it has another length.
double global_grad_norm(const at::Tensor& shard_gradient, const ShardLayout& layout,
                        Collectives& collectives);

}  // namespace vrwkv::sharding
