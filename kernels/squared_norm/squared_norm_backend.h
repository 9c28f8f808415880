// SPDX-License-Identifier: Apache-2.0
// What squared_norm.cpp asks of a device. Plain pointers: neither LibTorch nor CUDA is seen here.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"

namespace vrwkv::kernels {

/// Elements summed together.
inline constexpr std::int64_t kNormBlock = 65536;
/// A block's sum, in parts that may go on side by side: kNormSegments runs of elements, each with kNormSums
/// sums that take its elements in turn. Then sum s takes sum s + 8, s + 4, s + 2, s + 1 of its segment, and
/// the segments' sums add up in the same way. The square of a float is exact in fp64, so the bits depend on
/// this order alone, on a CPU as on a GPU.
inline constexpr int kNormSegments = 16;
inline constexpr int kNormSums = 16;
inline constexpr std::int64_t kNormSegment = kNormBlock / kNormSegments;

namespace cpu {
/// sums[b] = sum of squares of block b, for ceil(count / kNormBlock) blocks; the last may be short.
void squared_norm_blocks(const float* values, std::int64_t count, double* sums);
/// Of one block.
VRWKV_FOR_EACH_INSTRUCTION_SET(double sum_of_squares(const float* values, std::int64_t count);)
}  // namespace cpu

/// The same, queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
void squared_norm_blocks(const float* values, std::int64_t count, double* sums, void* stream);
}

}  // namespace vrwkv::kernels
