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

/// Adds up `count` elements, of which operands[v] are value v's. Each sum becomes an operand itself, in
/// scratch memory, but the last one, which is what was asked for.
void add_up(const TreeSum& call, std::int64_t count, float* scratch, const float** operands, float* sum) {
  for (std::int64_t m = 0; m < call.merge_count; ++m) {
    const Merge& merge = call.merges[m];
    const bool last = m + 1 == call.merge_count && merge.left == 0;
    float* to = last ? sum : scratch + merge.left * kAtOnce;
    add(operands[merge.left], operands[merge.right], count, to);
    operands[merge.left] = to;
  }
  if (operands[0] != sum) __builtin_memmove(sum, operands[0], count * sizeof(float));
}

}  // namespace

std::int64_t tree_sum_scratch_floats(const TreeSum& call) { return call.value_count * kAtOnce; }

void tree_sum_range(const TreeSum& call, std::int64_t begin, std::int64_t end, float* scratch,
                    const float** operands) {
  for (; begin < end; begin += kAtOnce) {
    for (std::int64_t v = 0; v < call.value_count; ++v) operands[v] = call.values[v] + begin;
    add_up(call, end - begin < kAtOnce ? end - begin : kAtOnce, scratch, operands, call.sum + begin);
  }
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
