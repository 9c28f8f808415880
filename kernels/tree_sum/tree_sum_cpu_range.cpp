// SPDX-License-Identifier: Apache-2.0
// A few vectors of every value at a time: partial sums stay in the first-level cache.
#include "kernels/cpu/lanes.h"
#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

constexpr std::int64_t kAtOnce = 16 * kLanes;

/// to = a + b; `to` may be either.
void add(const float* a, const float* b, std::int64_t count, float* to) {
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) store(to + i, load(a + i) + load(b + i));
  for (std::int64_t i = whole; i < count; ++i) to[i] = a[i] + b[i];
}

/// Adds up the `count` elements from `begin` on. An entry of the stack is a value itself, or a sum in the
/// scratch memory of its height; the last one is what was asked for.
void add_up(const TreeSum& call, std::int64_t begin, std::int64_t count, float* scratch,
            const float** stack) {
  std::int64_t height = 0;
  for (std::int64_t v = 0; v < call.value_count; ++v) {
    stack[height++] = call.values[v] + begin;
    for (int left = call.additions[v]; left > 0; --left) {
      --height;
      const bool last = v + 1 == call.value_count && height == 1;
      float* to = last ? call.sum + begin : scratch + (height - 1) * kAtOnce;
      add(stack[height - 1], stack[height], count, to);
      stack[height - 1] = to;
    }
  }
  if (stack[0] != call.sum + begin) __builtin_memmove(call.sum + begin, stack[0], count * sizeof(float));
}

}  // namespace

std::int64_t tree_sum_scratch_floats(const TreeSum& call) { return call.depth * kAtOnce; }

void tree_sum_range(const TreeSum& call, std::int64_t begin, std::int64_t end, float* scratch,
                    const float** stack) {
  for (; begin < end; begin += kAtOnce)
    add_up(call, begin, end - begin < kAtOnce ? end - begin : kAtOnce, scratch, stack);
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
