// SPDX-License-Identifier: Apache-2.0
// What one thread computes at a time: one head of one sequence, or some of its values. Tasks share nothing,
// so threads may take them in any order. Each instruction set has its own compilation of them.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cpu {

/// The backward goes by blocks of tokens and groups of values: small enough that a group's part of the state
/// before each token of a block stays in the nearest cache. What is summed over values is summed within each
/// group first, so that nobody sees who computed which group.
inline constexpr std::int64_t kWkv7Block = 4;
inline constexpr std::int64_t kWkv7Group = 16;

/// Values [first_value, end_value) of a head, whole groups of them: rows of its state, which never mix.
struct Wkv7Task {
  std::int64_t batch, sequence, head;
  std::int64_t first_value, end_value;
};

/// Where a head is divided: the sums over each group's values, of which the gradients of r, w, k, a and b are
/// made when all are there.
struct Wkv7GroupSums {
  static constexpr std::int64_t kSums = 5;
  /// Of (batch, tokens, heads) rows with n / kWkv7Group groups each.
  static std::int64_t numel(std::int64_t rows, std::int64_t head_size) {
    return rows * (head_size / kWkv7Group) * kSums * head_size;
  }
  /// The kSums rows of a group, for the row of n elements that begins at `row`.
  float* of(std::int64_t row, std::int64_t group, std::int64_t n) const {
    return first + (row * (n / kWkv7Group) + group * n) * kSums;
  }

  float* first;  // null: heads are not divided
};

/// Floats of scratch memory, 64-byte aligned, that a task needs; it need not be initialised.
inline constexpr std::int64_t forward_scratch_floats(std::int64_t head_size) {
  constexpr std::int64_t kRows = 8;
  return (head_size + 1 + kWkv7Chunk * kRows) * head_size;
}
inline constexpr std::int64_t backward_scratch_floats(std::int64_t head_size, std::int64_t interval) {
  constexpr std::int64_t kRows = 16;
  const std::int64_t states = 1 + kWkv7Chunk / kWkv7Block - 1 + interval / kWkv7Chunk - 1;
  return (states * head_size + kWkv7Block * kWkv7Group + 1 + kWkv7Chunk * kRows) * head_size;
}

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void forward_task(const Wkv7Inputs<Element>& in, const Wkv7Outputs<Element>& out, const Wkv7Kept& kept,
                    const Wkv7Task& task, float* scratch);
  template <class Element>
  void backward_task(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept,
                     const Wkv7OutputGradients<Element>& gradients_in,
                     const Wkv7InputGradients<Element>& gradients_out, const Wkv7GroupSums& sums,
                     const Wkv7Task& task, float* scratch);
  /// Makes what backward_task() left to be done where heads are divided, for all of the task's values; of the
  /// same scratch memory.
  template <class Element>
  void backward_sums_task(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept,
                          const Wkv7InputGradients<Element>& gradients_out, const Wkv7GroupSums& sums,
                          const Wkv7Task& task, float* scratch);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
