// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "kernels/wkv7/wkv7_backend.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {
namespace {

/// Calls run(task, scratch) for every head of every sequence, over ATen's threads. ATen's memory is 64-byte
/// aligned.
template <class Run>
void for_each_task(const Wkv7Inputs& in, std::int64_t scratch_floats, const Run& run) {
  at::parallel_for(0, in.batch * in.sequences * in.heads, /*grain_size=*/1,
                   [&](std::int64_t begin, std::int64_t end) {
                     const at::Tensor scratch = at::empty({scratch_floats}, at::kFloat);
                     for (std::int64_t task = begin; task < end; ++task) run(task, scratch.data_ptr<float>());
                   });
}

}  // namespace

void wkv7_forward(const Wkv7Inputs& inputs, const Wkv7Outputs& outputs, const Wkv7Kept& kept) {
  static const auto run = VRWKV_WIDEST(forward_task);
  for_each_task(inputs, forward_scratch_floats(inputs.head_size),
                [&](std::int64_t task, float* scratch) { run(inputs, outputs, kept, task, scratch); });
}

void wkv7_backward(const Wkv7Inputs& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients& output_gradients, const Wkv7InputGradients& input_gradients) {
  static const auto run = VRWKV_WIDEST(backward_task);
  for_each_task(inputs, backward_scratch_floats(inputs.head_size), [&](std::int64_t task, float* scratch) {
    run(inputs, kept, output_gradients, input_gradients, task, scratch);
  });
}

}  // namespace vrwkv::kernels::cpu
