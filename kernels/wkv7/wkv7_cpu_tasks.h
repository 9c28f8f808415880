// SPDX-License-Identifier: Apache-2.0
// One task is one head of one sequence: tasks share nothing, so threads may take them in any order. Each
// instruction set has its own compilation of them.
#pragma once

#include <cstdint>

#include "kernels/cpu/instruction_set.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cpu {

/// Floats of scratch memory, 64-byte aligned, that one task needs; it need not be initialised.
inline constexpr std::int64_t forward_scratch_floats(std::int64_t head_size) {
  return head_size * head_size + (kWkv7Chunk + 2) * head_size;
}
inline constexpr std::int64_t backward_scratch_floats(std::int64_t head_size) {
  constexpr std::int64_t kMaxLanes = 16;
  return (kWkv7Chunk + 1) * head_size * head_size + 2 * (kMaxLanes + kWkv7Chunk + 1) * head_size;
}

VRWKV_FOR_EACH_INSTRUCTION_SET(void forward_task(const Wkv7Inputs& inputs, const Wkv7Outputs& outputs,
                                                 const Wkv7Kept& kept, std::int64_t task, float* scratch);
                               void backward_task(const Wkv7Inputs& inputs, const Wkv7Kept& kept,
                                                  const Wkv7OutputGradients& gradients_in,
                                                  const Wkv7InputGradients& gradients_out, std::int64_t task,
                                                  float* scratch);)

}  // namespace vrwkv::kernels::cpu
