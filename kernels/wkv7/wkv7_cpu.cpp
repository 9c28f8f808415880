// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_task.h"
#include "kernels/wkv7/wkv7_backend.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

namespace vrwkv::kernels::cpu {
namespace {

/// The tasks of a call, with heads whole or divided into groups of values.
template <class Element>
class Tasks {
 public:
  Tasks(const Wkv7Inputs<Element>& in, bool is_divided)
      : heads_(in.heads),
        rows_(in.batch * in.heads),
        groups_(is_divided ? in.head_size / kWkv7Group : 1),
        values_(in.head_size / groups_),
        sequences_(longest_first(in.token_bounds, in.sequences)) {}

  std::int64_t count() const { return static_cast<std::int64_t>(sequences_.size()) * rows_ * groups_; }
  /// Those of a sequence one after the other.
  Wkv7Task operator[](std::int64_t number) const {
    const std::int64_t group = number % groups_, row = number / groups_ % rows_;
    return {.batch = row / heads_,
            .sequence = sequences_[static_cast<std::size_t>(number / groups_ / rows_)],
            .head = row % heads_,
            .first_value = group * values_,
            .end_value = (group + 1) * values_};
  }

 private:
  std::int64_t heads_, rows_, groups_, values_;
  std::vector<std::int64_t> sequences_;
};

/// Dividing heads costs reading each row once for each group, so it is for threads that had nothing to do
/// otherwise.
template <class Element>
bool divides_heads(const Wkv7Inputs<Element>& in) {
  return in.batch * in.sequences * in.heads < at::get_num_threads();
}

}  // namespace

template <class Element>
void wkv7_forward(const Wkv7Inputs<Element>& inputs, const Wkv7Outputs<Element>& outputs,
                  const Wkv7Kept& kept) {
  static const auto run = VRWKV_WIDEST(forward_task<Element>);
  const Tasks<Element> tasks(inputs, divides_heads(inputs));
  for_each_task(tasks.count(), forward_scratch_floats(inputs.head_size),
                [&](std::int64_t task, float* scratch) { run(inputs, outputs, kept, tasks[task], scratch); });
}

template <class Element>
void wkv7_backward(const Wkv7Inputs<Element>& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients<Element>& output_gradients,
                   const Wkv7InputGradients<Element>& input_gradients) {
  static const auto run = VRWKV_WIDEST(backward_task<Element>);
  static const auto run_sums = VRWKV_WIDEST(backward_sums_task<Element>);
  const bool is_divided = divides_heads(inputs);
  at::Tensor memory;
  if (is_divided)
    memory = at::empty({Wkv7GroupSums::numel(inputs.batch * inputs.tokens * inputs.heads, inputs.head_size)},
                       at::kFloat);
  const Wkv7GroupSums sums{.first = is_divided ? memory.data_ptr<float>() : nullptr};
  const auto run_all = [&](bool divided, const auto& run_one) {
    const Tasks<Element> tasks(inputs, divided);
    for_each_task(tasks.count(), backward_scratch_floats(inputs.head_size, kept.interval),
                  [&](std::int64_t task, float* scratch) { run_one(tasks[task], scratch); });
  };
  run_all(is_divided, [&](const Wkv7Task& task, float* scratch) {
    run(inputs, kept, output_gradients, input_gradients, sums, task, scratch);
  });
  if (!is_divided) return;
  run_all(false, [&](const Wkv7Task& task, float* scratch) {
    run_sums(inputs, kept, input_gradients, sums, task, scratch);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                                      \
  template void wkv7_forward(const Wkv7Inputs<Element>&, const Wkv7Outputs<Element>&, const Wkv7Kept&); \
  template void wkv7_backward(const Wkv7Inputs<Element>&, const Wkv7Kept&,                              \
                              const Wkv7OutputGradients<Element>&, const Wkv7InputGradients<Element>&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu
