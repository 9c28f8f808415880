// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/column_sums/column_sums_backend.h"

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {

void column_sums(const float* rows, std::int64_t row_count, std::int64_t columns, float* sums) {
  constexpr std::int64_t kAdditionsPerThread = 32768;
  const std::int64_t columns_per_thread = std::max<std::int64_t>(kAdditionsPerThread / row_count, 16);
  at::parallel_for(0, columns, columns_per_thread, [&](std::int64_t begin, std::int64_t end) {
    std::copy(rows + begin, rows + end, sums + begin);
    for (std::int64_t row = 1; row < row_count; ++row) {
      const float* from = rows + row * columns;
      for (std::int64_t c = begin; c < end; ++c) sums[c] += from[c];
    }
  });
}

}  // namespace vrwkv::kernels::cpu
