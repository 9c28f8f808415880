// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include "kernels/cross_entropy/logit_rows_backend.h"

namespace vrwkv::kernels::cpu {

void merge_statistics(const LogitRows& tile, const float* logits, float* losses) {
  static const auto run = VRWKV_WIDEST(merge_statistics_of);
  at::parallel_for(0, tile.rows, /*grain_size=*/1,
                   [&](std::int64_t begin, std::int64_t end) { run(tile, logits, losses, begin, end); });
}

template <class Element>
void logits_to_gradient(const LogitRows& tile, float l2wrap_scale, float* logits) {
  static const auto run = VRWKV_WIDEST(logits_to_gradient_of<Element>);
  at::parallel_for(0, tile.rows, /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    run(tile, l2wrap_scale, logits, begin, end);
  });
}

template void logits_to_gradient<float>(const LogitRows&, float, float*);
template void logits_to_gradient<Bf16>(const LogitRows&, float, float*);

}  // namespace vrwkv::kernels::cpu
