// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6_self_check.h"

namespace vrwkv::kernels {
namespace {

Wkv6Call by_fallback(const Wkv6Call& call) { return {.tensors = checked_heads(call.tensors), .kernel = {}}; }

bool forward_agrees(const Wkv6Call& call, const Wkv6Result& result) {
  const Wkv6Result expected = wkv6_forward(by_fallback(call), /*kept_states=*/{});
  return check_against_fallback("wkv6", {"y", "the final state"}, {result.y, result.final_state},
                                {expected.y, expected.final_state});
}

bool backward_agrees(const Wkv6Call& call, const Wkv6IncomingGradients& incoming,
                     const std::vector<at::Tensor>& gradients) {
  const Wkv6Call other = by_fallback(call);
  const at::Tensor kept_states = wkv6_empty_kept(other);
  wkv6_forward(other, kept_states);
  const auto expected =
      wkv6_backward(other, kept_states,
                    {.y = checked_heads(incoming.y), .final_state = checked_heads(incoming.final_state)},
                    gradients[5].defined());
  return check_against_fallback("wkv6", {"dr", "dk", "dv", "dw", "du", "the initial state's gradient"},
                                gradients, expected);
}

}  // namespace

Wkv6Result checked_wkv6_forward(const Wkv6Call& call, const at::Tensor& kept_states, FirstComparison& first) {
  const Wkv6Result result = wkv6_forward(call, kept_states);
  if (call.kernel.self_checks) first.unless_done([&] { return forward_agrees(call, result); });
  return result;
}

std::vector<at::Tensor> checked_wkv6_backward(const Wkv6Call& call, const at::Tensor& kept_states,
                                              const Wkv6IncomingGradients& incoming, bool want_initial_state,
                                              FirstComparison& first) {
  const std::vector<at::Tensor> gradients = wkv6_backward(call, kept_states, incoming, want_initial_state);
  if (call.kernel.self_checks) first.unless_done([&] { return backward_agrees(call, incoming, gradients); });
  return gradients;
}

}  // namespace vrwkv::kernels
