// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_task.h"
#include "kernels/wkv6/wkv6_backend.h"
#include "kernels/wkv6/wkv6_cpu_tasks.h"

namespace vrwkv::kernels::cpu {
namespace {

/// As many heads a task as share pages well, fewer where threads would stay idle.
std::int64_t heads_together(std::int64_t rows_of_heads, std::int64_t heads) {
  std::int64_t together = 4;
  while (together > 1 && rows_of_heads * ((heads + together - 1) / together) < at::get_num_threads())
    together /= 2;
  return std::min(together, heads);
}

/// Calls run(task, scratch) for every task of a call.
template <class Element, class Run>
void for_all_heads(const Wkv6Inputs<Element>& in, std::int64_t (*scratch_floats)(std::int64_t, std::int64_t),
                   const Run& run) {
  const std::int64_t together = heads_together(in.batch * in.sequences, in.heads);
  const std::int64_t groups = (in.heads + together - 1) / together;
  const std::int64_t rows = in.batch * groups;
  const std::vector<std::int64_t> sequences = longest_first(in.token_bounds, in.sequences);
  for_each_task(in.sequences * rows, scratch_floats(in.head_size, together),
                [&](std::int64_t number, float* scratch) {
                  const std::int64_t row = number % rows, first_head = row % groups * together;
                  run(Wkv6Task{.batch = row / groups,
                               .sequence = sequences[static_cast<std::size_t>(number / rows)],
                               .first_head = first_head,
                               .heads = std::min(together, in.heads - first_head)},
                      scratch);
                });
}

}  // namespace

template <class Element>
void wkv6_forward(const Wkv6Inputs<Element>& inputs, const Wkv6Outputs<Element>& outputs) {
  static const auto run = VRWKV_WIDEST(wkv6_forward_task<Element>);
  for_all_heads(inputs, wkv6_forward_scratch_floats,
                [&](const Wkv6Task& task, float* scratch) { run(inputs, outputs, task, scratch); });
}

template <class Element>
void wkv6_backward(const Wkv6Inputs<Element>& inputs, const Wkv6OutputGradients<Element>& output_gradients,
                   const Wkv6InputGradients<Element>& input_gradients) {
  static const auto run = VRWKV_WIDEST(wkv6_backward_task<Element>);
  for_all_heads(inputs, wkv6_backward_scratch_floats, [&](const Wkv6Task& task, float* scratch) {
    run(inputs, output_gradients, input_gradients, task, scratch);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                             \
  template void wkv6_forward(const Wkv6Inputs<Element>&, const Wkv6Outputs<Element>&);         \
  template void wkv6_backward(const Wkv6Inputs<Element>&, const Wkv6OutputGradients<Element>&, \
                              const Wkv6InputGradients<Element>&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu
