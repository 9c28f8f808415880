// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/squared_norm/squared_norm_backend.h"

namespace vrwkv::kernels {

/// Sums the squares of each block of kNormBlock elements, in fp64 and in one fixed order
/// (squared_norm_backend.h). The norm of a sharded gradient is the sum of its blocks in block order, so
/// shards that end on block edges give the same bits for every number of ranks.
///
/// @param flat  (n) fp32, contiguous, any device; the last block may be short.
/// @return      (ceil(n / kNormBlock)) fp64, on the same device: the same bits on each, if the CPU's threads
///              flush denormals as a GPU does (common/flush_to_zero.h). What is not finite makes its block's
///              sum so.
/// @throws ShapeError when `flat` is not flat, contiguous fp32.
at::Tensor squared_norm_blocks(const at::Tensor& flat);

}  // namespace vrwkv::kernels
