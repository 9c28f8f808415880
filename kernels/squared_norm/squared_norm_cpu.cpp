// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/squared_norm/squared_norm_backend.h"

namespace vrwkv::kernels::cpu {

void squared_norm_blocks(const float* values, std::int64_t count, double* sums) {
  static const auto run = VRWKV_WIDEST(sum_of_squares);
  const std::int64_t blocks = (count + kNormBlock - 1) / kNormBlock;
  at::parallel_for(0, blocks, /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kNormBlock;
      sums[block] = run(values + first, std::min(kNormBlock, count - first));
    }
  });
}

}  // namespace vrwkv::kernels::cpu
