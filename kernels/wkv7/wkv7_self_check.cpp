// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7_self_check.h"

namespace vrwkv::kernels {
namespace {

Wkv7Call by_fallback(const Wkv7Call& call) {
  Wkv7Call other = call;
  other.tensors = checked_heads(call.tensors);
  other.kernel = {};
  other.interval = wkv7_shortest_interval(other);
  return other;
}

bool forward_agrees(const Wkv7Call& call, const Wkv7Result& result) {
  const Wkv7Result expected = wkv7_forward(by_fallback(call), Wkv7KeptTensors{});
  return check_against_fallback("wkv7", {"y", "the final state"}, {result.y, result.final_state},
                                {expected.y, expected.final_state});
}

bool backward_agrees(const Wkv7Call& call, const Wkv7IncomingGradients& incoming,
                     const std::vector<at::Tensor>& gradients) {
  const Wkv7Call other = by_fallback(call);
  const Wkv7KeptTensors kept = wkv7_empty_kept(other);
  wkv7_forward(other, kept);
  const auto expected = wkv7_backward(
      other, kept, {.y = checked_heads(incoming.y), .final_state = checked_heads(incoming.final_state)},
      gradients[6].defined());
  return check_against_fallback("wkv7", {"dr", "dw", "dk", "dv", "da", "db", "the initial state's gradient"},
                                gradients, expected);
}

}  // namespace

Wkv7Result checked_wkv7_forward(const Wkv7Call& call, const Wkv7KeptTensors& kept, FirstComparison& first) {
  const Wkv7Result result = wkv7_forward(call, kept);
  if (call.kernel.self_checks) first.unless_done([&] { return forward_agrees(call, result); });
  return result;
}

std::vector<at::Tensor> checked_wkv7_backward(const Wkv7Call& call, const Wkv7KeptTensors& kept,
                                              const Wkv7IncomingGradients& incoming, bool want_initial_state,
                                              FirstComparison& first) {
  const std::vector<at::Tensor> gradients = wkv7_backward(call, kept, incoming, want_initial_state);
  if (call.kernel.self_checks) first.unless_done([&] { return backward_agrees(call, incoming, gradients); });
  return gradients;
}

}  // namespace vrwkv::kernels
