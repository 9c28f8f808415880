// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::kernels::cpu {

void tree_sum(const TreeSum& call) {
  static const auto scratch_floats = VRWKV_WIDEST(tree_sum_scratch_floats);
  static const auto run = VRWKV_WIDEST(tree_sum_range);
  at::parallel_for(0, call.count, /*grain_size=*/16384, [&](std::int64_t begin, std::int64_t end) {
    const at::Tensor scratch = at::empty({scratch_floats(call)}, at::kFloat);
    std::vector<const float*> stack(static_cast<std::size_t>(call.depth));
    run(call, begin, end, scratch.data_ptr<float>(), stack.data());
  });
}

}  // namespace vrwkv::kernels::cpu
