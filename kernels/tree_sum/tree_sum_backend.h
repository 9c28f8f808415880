// SPDX-License-Identifier: Apache-2.0
// What tree_sum.cpp asks of a device. Plain pointers: neither LibTorch nor CUDA is seen here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/instruction_set.h"

namespace vrwkv::kernels {

/// A call, in an AdditionOrder; the lists are the CPU's, whatever the device.
struct TreeSum {
  const float* const* values;     // in the order in which they are taken
  const std::uint8_t* additions;  // after each, how often the stack's two newest entries become one
  std::int64_t value_count;
  std::int64_t depth;  // of the stack
  float* sum;
  std::int64_t count;  // of elements
};

/// The most values of a call on a GPU: as many as a kernel can be passed pointers.
inline constexpr std::int64_t kMostTreeValues = 3072;
/// The deepest stack.
inline constexpr std::int64_t kMostTreeDepth = 64;

namespace cpu {
void tree_sum(const TreeSum& call);
/// Of the elements [begin, end). `scratch` has tree_sum_scratch_floats() floats, 64-byte aligned; `stack` has
/// room for `depth` pointers. Neither need be initialised.
VRWKV_FOR_EACH_INSTRUCTION_SET(std::int64_t tree_sum_scratch_floats(const TreeSum& call);
                               void tree_sum_range(const TreeSum& call, std::int64_t begin, std::int64_t end,
                                                   float* scratch, const float** stack);)
}  // namespace cpu

namespace cuda {
/// Of at most kMostTreeValues and kMostTreeDepth. Queued on `stream` (a cudaStream_t); nothing waits.
void tree_sum(const TreeSum& call, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
