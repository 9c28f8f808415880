// SPDX-License-Identifier: Apache-2.0
// What a thread computes at a time. Tasks share nothing, so threads may take them in any order. Each
// instruction set has its own compilation of them.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels::cpu {

/// Neighbouring heads of one sequence: their rows lie side by side, so that a page of memory is visited once
/// for all of them. No result depends on how heads are put together.
struct Wkv6Task {
  std::int64_t batch, sequence, first_head, heads;
};

/// Floats of scratch memory, 64-byte aligned, that a task needs; it need not be initialised.
inline constexpr std::int64_t wkv6_forward_scratch_floats(std::int64_t head_size, std::int64_t heads) {
  constexpr std::int64_t kRows = 5;
  return heads * (head_size + kRows * kWkv6Chunk) * head_size;
}
inline constexpr std::int64_t wkv6_backward_scratch_floats(std::int64_t head_size, std::int64_t heads) {
  constexpr std::int64_t kRows = 10, kBlock = 16 * 16;
  return heads * (head_size + kRows * kWkv6Chunk) * head_size + 2 * kWkv6Chunk * kBlock;
}

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void wkv6_forward_task(const Wkv6Inputs<Element>& in, const Wkv6Outputs<Element>& out,
                         const Wkv6Task& task, float* scratch);
  template <class Element>
  void wkv6_backward_task(const Wkv6Inputs<Element>& in, const Wkv6OutputGradients<Element>& gradients_in,
                          const Wkv6InputGradients<Element>& gradients_out, const Wkv6Task& task,
                          float* scratch);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
