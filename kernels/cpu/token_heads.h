// SPDX-License-Identifier: Apache-2.0
// For operators that go through the heads of single tokens. Compiled as cpu/lanes.h is.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/token_ranges.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

/// Where a token's head begins: in activations, in vectors of parameters, and among the heads of all tokens.
struct HeadPlace {
  std::int64_t at, channel, row;
};

/// Calls run(HeadPlace) for the heads of the tokens in a range; `in` has their number and their size.
template <class Inputs, class Run>
[[gnu::always_inline]] inline void for_each_head(const Inputs& in, const TokenRange& range, const Run& run) {
  for (std::int64_t t = range.begin; t < range.end; ++t)
    for (std::int64_t head = 0; head < in.heads; ++head) {
      const std::int64_t row = t * in.heads + head;
      run(HeadPlace{.at = row * in.head_size, .channel = head * in.head_size, .row = row});
    }
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
