// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/map_attention_backend.h"
#include "kernels/cpu/for_each_task.h"

namespace vrwkv::kernels::cpu {

void map_attention(const MapAttention& call) {
  static const auto tasks = VRWKV_WIDEST(attention_tasks);
  static const auto scratch_floats = VRWKV_WIDEST(attention_scratch_floats);
  static const auto run = VRWKV_WIDEST(attention_task);
  for_each_task(tasks(call), scratch_floats(call),
                [&](std::int64_t task, float* scratch) { run(call, task, scratch); });
}

}  // namespace vrwkv::kernels::cpu
