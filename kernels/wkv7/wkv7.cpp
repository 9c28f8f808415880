// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "kernels/activations.h"
#include "kernels/sequence_bounds.h"
#include "kernels/wkv7/kept_interval.h"
#include "kernels/wkv7/wkv7_call.h"
#include "kernels/wkv7/wkv7_self_check.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Wkv7Result forward_result(const Wkv7Call& call, const Wkv7KeptTensors& kept) {
  static FirstComparison of_process;
  return checked_wkv7_forward(call, kept, of_process);
}

variable_list backward_result(const Wkv7Call& call, const Wkv7KeptTensors& kept,
                              const Wkv7IncomingGradients& incoming, bool want_initial_state) {
  static FirstComparison of_process;
  return checked_wkv7_backward(call, kept, incoming, want_initial_state, of_process);
}

class Wkv7Function : public torch::autograd::Function<Wkv7Function> {
 public:
  /// @param settings  the call; its tensors are those of the other arguments.
  static variable_list forward(AutogradContext* context, const at::Tensor& r, const at::Tensor& w,
                               const at::Tensor& k, const at::Tensor& v, const at::Tensor& a,
                               const at::Tensor& b, const std::optional<at::Tensor>& initial_state,
                               const at::Tensor& bounds, Wkv7Call settings) {
    settings.tensors = {r, w, k, v, a, b, initial_state.value_or(at::Tensor()), bounds};
    const Wkv7KeptTensors kept = wkv7_empty_kept(settings);
    const Wkv7Result result = forward_result(settings, kept);
    variable_list saved = settings.tensors;
    saved.insert(saved.end(), {kept.states, kept.state_a});
    context->save_for_backward(saved);
    context->saved_data["decay_input"] = static_cast<std::int64_t>(settings.decay_input);
    context->saved_data["chunked"] = settings.kernel.chunked;
    context->saved_data["self_checks"] = settings.kernel.self_checks;
    context->saved_data["interval"] = settings.interval;
    context->set_materialize_grads(false);
    return {result.y, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const Wkv7KeptTensors kept{.states = saved[8], .state_a = saved[9]};
    saved.resize(8);
    Wkv7Call call;
    call.tensors = std::move(saved);
    call.kernel = {.chunked = context->saved_data["chunked"].toBool(),
                   .self_checks = context->saved_data["self_checks"].toBool()};
    call.decay_input = static_cast<DecayInput>(context->saved_data["decay_input"].toInt());
    call.interval = context->saved_data["interval"].toInt();
    Wkv7IncomingGradients incoming;
    incoming.y = output_gradients[0].defined() ? dense(output_gradients[0]) : at::zeros_like(call.r());
    incoming.final_state = dense_or_none(output_gradients[1]);
    // An undefined argument has no edge in the graph, and then index 6 is the bounds'.
    const bool want_initial_state = call.initial_state().defined() && context->needs_input_grad(6);
    variable_list gradients = backward_result(call, kept, incoming, want_initial_state);
    gradients.resize(9);  // none for the bounds and the settings
    return gradients;
  }
};

}  // namespace

Wkv7Result wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& a, const at::Tensor& b, const at::Tensor& sequence_starts,
                const at::Tensor& initial_state, const Wkv7Options& options) {
  const RecurrenceArguments arguments{
      .where = "wkv7",
      .names = {"r", "w", "k", "v", "a", "b"},
      .activations = {r, w, k, v, a, b},
      .others = {},
      .sequence_starts = sequence_starts,
      .initial_state = initial_state,
      .chunked_fit = options.decay_input == DecayInput::kRaw ? ChunkedFit::kBest : ChunkedFit::kPossible};
  check_recurrence_arguments(arguments);
  Wkv7Call call{make_recurrence_call(arguments), options.decay_input};
  if (!call.differentiates()) return forward_result(call, Wkv7KeptTensors{});
  const at::Tensor lengths = sequence_bounds(sequence_starts, r.size(1), at::kCPU).diff();
  call.interval = choose_kept_interval(
      wkv7_shortest_interval(call), lengths.max().item<std::int64_t>(), options.kept_states_bytes,
      [&](std::int64_t interval) { return wkv7_kept_bytes(call, interval); });
  const variable_list x = std::exchange(call.tensors, {});
  const variable_list outputs =
      Wkv7Function::apply(x[0], x[1], x[2], x[3], x[4], x[5], optional_tensor(x[6]), x[7], call);
  return {.y = outputs[0], .final_state = outputs[1]};
}

}  // namespace vrwkv::kernels
