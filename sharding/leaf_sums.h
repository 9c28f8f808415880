// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "sharding/collectives.h"

namespace vrwkv::sharding {

/// Collective. The sum of one number per micro-batch (a loss), in fp64 along the canonical tree: the same
/// bits on every rank and for every world size.
/// @param values         one per micro-batch of this rank, ascending: leaf_range(micro_batches, rank, world
/// size).
/// @param micro_batches  M, over all ranks.  @throws ShapeError when the ranks' values are not M in all.
double sum_over_leaves(std::span<const double> values, std::int64_t micro_batches, Collectives& collectives);

}  // namespace vrwkv::sharding
