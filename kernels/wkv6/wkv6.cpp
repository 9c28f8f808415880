// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "kernels/activations.h"
#include "kernels/wkv6/wkv6_call.h"
#include "kernels/wkv6/wkv6_self_check.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Wkv6Result forward_result(const Wkv6Call& call, const at::Tensor& kept_states) {
  static FirstComparison of_process;
  return checked_wkv6_forward(call, kept_states, of_process);
}

variable_list backward_result(const Wkv6Call& call, const at::Tensor& kept_states,
                              const Wkv6IncomingGradients& incoming, bool want_initial_state) {
  static FirstComparison of_process;
  return checked_wkv6_backward(call, kept_states, incoming, want_initial_state, of_process);
}

class Wkv6Function : public torch::autograd::Function<Wkv6Function> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& r, const at::Tensor& k,
                               const at::Tensor& v, const at::Tensor& w, const at::Tensor& u,
                               const std::optional<at::Tensor>& initial_state, const at::Tensor& bounds,
                               RecurrenceKernel kernel) {
    Wkv6Call call{.tensors = {r, k, v, w, u, initial_state.value_or(at::Tensor()), bounds}, .kernel = kernel};
    const at::Tensor kept_states = wkv6_empty_kept(call);
    const Wkv6Result result = forward_result(call, kept_states);
    call.tensors.push_back(kept_states);
    context->save_for_backward(call.tensors);
    context->saved_data["chunked"] = kernel.chunked;
    context->saved_data["self_checks"] = kernel.self_checks;
    context->set_materialize_grads(false);
    return {result.y, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const at::Tensor kept_states = saved.back();
    saved.pop_back();
    const Wkv6Call call{.tensors = std::move(saved),
                        .kernel = {.chunked = context->saved_data["chunked"].toBool(),
                                   .self_checks = context->saved_data["self_checks"].toBool()}};
    Wkv6IncomingGradients incoming;
    incoming.y = output_gradients[0].defined() ? dense(output_gradients[0]) : at::zeros_like(call.r());
    incoming.final_state = dense_or_none(output_gradients[1]);
    // An undefined argument has no edge in the graph, and then index 5 is the bounds'.
    const bool want_initial_state = call.initial_state().defined() && context->needs_input_grad(5);
    variable_list gradients = backward_result(call, kept_states, incoming, want_initial_state);
    gradients.resize(8);  // none for the bounds and the choice of kernel
    return gradients;
  }
};

}  // namespace

Wkv6Result wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                const at::Tensor& u, const at::Tensor& sequence_starts, const at::Tensor& initial_state) {
  const Wkv6Call call = make_wkv6_call(r, k, v, w, u, sequence_starts, initial_state);
  if (!call.differentiates()) return forward_result(call, /*kept_states=*/{});
  const variable_list& x = call.tensors;
  const variable_list outputs =
      Wkv6Function::apply(x[0], x[1], x[2], x[3], x[4], optional_tensor(x[5]), x[6], call.kernel);
  return {.y = outputs[0], .final_state = outputs[1]};
}

}  // namespace vrwkv::kernels
