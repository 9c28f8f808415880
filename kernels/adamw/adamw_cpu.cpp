// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include "kernels/adamw/adamw_backend.h"

namespace vrwkv::kernels::cpu {

void adamw(const AdamwCall& call, Bf16Rounding rounding) {
  static const auto run = VRWKV_WIDEST(adamw_range);
  at::parallel_for(0, call.count, /*grain_size=*/16384,
                   [&](std::int64_t begin, std::int64_t end) { run(call, rounding, begin, end); });
}

}  // namespace vrwkv::kernels::cpu
