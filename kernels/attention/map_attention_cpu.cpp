// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "kernels/attention/map_attention_backend.h"

namespace vrwkv::kernels::cpu {

void map_attention(const MapAttention& call) {
  static const auto tasks = VRWKV_WIDEST(attention_tasks);
  static const auto scratch_floats = VRWKV_WIDEST(attention_scratch_floats);
  static const auto run = VRWKV_WIDEST(attention_task);
  at::parallel_for(0, tasks(call), /*grain_size=*/1, [&](std::int64_t begin, std::int64_t end) {
    const at::Tensor scratch = at::empty({scratch_floats(call)}, at::kFloat);
    for (std::int64_t task = begin; task < end; ++task) run(call, task, scratch.data_ptr<float>());
  });
}

}  // namespace vrwkv::kernels::cpu
