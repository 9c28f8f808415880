// SPDX-License-Identifier: Apache-2.0
// What tree_sum.cpp asks of a device. Plain pointers: neither LibTorch nor CUDA is seen here.
#pragma once

#include <cstdint>

#include "kernels/cpu/instruction_set.h"
#include "kernels/tree_sum/merge.h"

namespace vrwkv::kernels {

/// A call; `values` and `merges` are lists of the CPU's, whatever the device.
struct TreeSum {
  const float* const* values;
  std::int64_t value_count;
  const Merge* merges;
  std::int64_t merge_count;
  float* sum;
  std::int64_t count;  // of elements
};

namespace cpu {
void tree_sum(const TreeSum& call);
/// Of the elements [begin, end). `scratch` has tree_sum_scratch_floats() floats, 64-byte aligned; `operands`
/// has room for value_count pointers. Neither need be initialised.
VRWKV_FOR_EACH_INSTRUCTION_SET(std::int64_t tree_sum_scratch_floats(const TreeSum& call);
                               void tree_sum_range(const TreeSum& call, std::int64_t begin, std::int64_t end,
                                                   float* scratch, const float** operands);)
}  // namespace cpu

namespace cuda {
/// The most values of a call.
inline constexpr int kMostTreeValues = 64;
/// Queued on `stream` (a cudaStream_t); nothing waits.
void tree_sum(const TreeSum& call, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
