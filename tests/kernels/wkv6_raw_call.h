// SPDX-License-Identifier: Apache-2.0
// Calls a WKV-6 backend by its raw-pointer interface, and gives what wkv6_results() gives.
#pragma once

#include <vector>

#include "kernels/activations.h"
#include "kernels/wkv6/wkv6_backend.h"
#include "tests/kernels/wkv6_cases.h"

namespace vrwkv::test {

/// @param backend  has forward(inputs, outputs) and backward(inputs, output_gradients, input_gradients).
template <class Backend>
std::vector<at::Tensor> wkv6_raw_results(const Backend& backend, const Wkv6Case& c,
                                         const Wkv6Tensors& tensors) {
  using kernels::elements;
  const auto& x = tensors.inputs;
  const std::vector<std::int64_t> bounds = token_bounds(c.sequence_starts, c.tokens);
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  std::vector<at::Tensor> results = {nan_like(x[0]), nan_like(tensors.gradient_final_state)};
  for (std::size_t i = 0; i < 4; ++i) results.push_back(nan_like(x[i]));
  const at::Tensor u_parts = at::full({c.batch * sequences, c.heads, c.head_size}, NAN);
  const at::Tensor d_initial_state = c.carries_state ? nan_like(tensors.initial_state) : at::Tensor();
  kernels::with_element_of(x[0], [&](auto element) {
    using Element = decltype(element);
    const kernels::Wkv6Inputs<Element> inputs{.batch = c.batch,
                                              .tokens = c.tokens,
                                              .heads = c.heads,
                                              .head_size = c.head_size,
                                              .sequences = sequences,
                                              .token_bounds = bounds.data(),
                                              .r = elements<const Element>(x[0]),
                                              .k = elements<const Element>(x[1]),
                                              .v = elements<const Element>(x[2]),
                                              .w = elements<const Element>(x[3]),
                                              .u = elements<const float>(x[4]),
                                              .initial_state = elements<const float>(tensors.initial_state)};
    // Both kernels' fit; NaN in fp32 and in bf16.
    const at::Tensor kept_states = at::full({kernels::wkv6_kept_bytes(inputs)}, 0xFF, at::kByte);
    backend.forward(inputs,
                    kernels::Wkv6Outputs<Element>{.y = elements<Element>(results[0]),
                                                  .final_state = elements<float>(results[1]),
                                                  .kept_states = elements<std::uint8_t>(kept_states)});
    const at::Tensor d_final_state = c.carries_state ? tensors.gradient_final_state : at::Tensor();
    backend.backward(
        inputs,
        kernels::Wkv6OutputGradients<Element>{.y = elements<const Element>(tensors.gradient_y),
                                              .final_state = elements<const float>(d_final_state),
                                              .kept_states = elements<const std::uint8_t>(kept_states)},
        kernels::Wkv6InputGradients<Element>{.r = elements<Element>(results[2]),
                                             .k = elements<Element>(results[3]),
                                             .v = elements<Element>(results[4]),
                                             .w = elements<Element>(results[5]),
                                             .u_parts = elements<float>(u_parts),
                                             .initial_state = elements<float>(d_initial_state)});
  });
  results.push_back(u_parts.sum(0));
  if (c.carries_state) results.push_back(d_initial_state);
  return results;
}

}  // namespace vrwkv::test
