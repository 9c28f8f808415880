// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/token_ranges.h"

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {

/// Calls run(range) for every TokenRange of `tokens`, over ATen's threads.
template <class Run>
void for_each_token_range(std::int64_t tokens, const Run& run) {
  at::parallel_for(0, token_ranges(tokens), /*grain_size=*/1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t index = first; index < last; ++index) {
      const std::int64_t begin = index * kRangeTokens;
      run(TokenRange{.index = index, .begin = begin, .end = std::min(begin + kRangeTokens, tokens)});
    }
  });
}

}  // namespace vrwkv::kernels::cpu
