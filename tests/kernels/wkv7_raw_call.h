// SPDX-License-Identifier: Apache-2.0
// Calls a WKV-7 backend by its raw-pointer interface, and gives what wkv7_results() gives.
#pragma once

#include <vector>

#include "kernels/activations.h"
#include "kernels/wkv7/wkv7_backend.h"
#include "tests/kernels/wkv7_cases.h"

namespace vrwkv::test {

/// @param backend   has forward(inputs, outputs, kept) and backward(inputs, kept, output_gradients,
///                  input_gradients).
/// @param interval  tokens between two kept states.
template <class Backend>
std::vector<at::Tensor> wkv7_raw_results(const Backend& backend, const Wkv7Case& c,
                                         const Wkv7Tensors& tensors,
                                         std::int64_t interval = kernels::kWkv7Chunk) {
  using kernels::elements;
  const auto& x = tensors.inputs;
  const std::vector<std::int64_t> bounds = token_bounds(c.sequence_starts, c.tokens);
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  std::vector<at::Tensor> results = {nan_like(x[0]), nan_like(tensors.gradient_final_state)};
  for (const at::Tensor& input : x) results.push_back(nan_like(input));
  if (c.carries_state) results.push_back(nan_like(tensors.initial_state));
  kernels::with_element_of(x[0], [&](auto element) {
    using Element = decltype(element);
    const kernels::Wkv7Inputs<Element> inputs{.batch = c.batch,
                                              .tokens = c.tokens,
                                              .heads = c.heads,
                                              .head_size = c.head_size,
                                              .sequences = sequences,
                                              .token_bounds = bounds.data(),
                                              .r = elements<const Element>(x[0]),
                                              .w = elements<const Element>(x[1]),
                                              .k = elements<const Element>(x[2]),
                                              .v = elements<const Element>(x[3]),
                                              .a = elements<const Element>(x[4]),
                                              .b = elements<const Element>(x[5]),
                                              .initial_state = elements<const float>(tensors.initial_state),
                                              .decay_input = c.decay_input};
    // All kernels' fit; NaN in fp32 and in bf16.
    const at::Tensor states = at::full({kernels::wkv7_kept_bytes(inputs, interval)}, 0xFF, at::kByte);
    const at::Tensor state_a = at::full(x[0].sizes(), NAN);
    const kernels::Wkv7Kept kept{
        .interval = interval, .states = elements<std::uint8_t>(states), .state_a = elements<float>(state_a)};
    backend.forward(inputs,
                    kernels::Wkv7Outputs<Element>{.y = elements<Element>(results[0]),
                                                  .final_state = elements<float>(results[1])},
                    kept);
    const at::Tensor d_final_state = c.carries_state ? tensors.gradient_final_state : at::Tensor();
    backend.backward(
        inputs, kept,
        kernels::Wkv7OutputGradients<Element>{.y = elements<const Element>(tensors.gradient_y),
                                              .final_state = elements<const float>(d_final_state)},
        kernels::Wkv7InputGradients<Element>{
            .r = elements<Element>(results[2]),
            .w = elements<Element>(results[3]),
            .k = elements<Element>(results[4]),
            .v = elements<Element>(results[5]),
            .a = elements<Element>(results[6]),
            .b = elements<Element>(results[7]),
            .initial_state = c.carries_state ? elements<float>(results[8]) : nullptr});
  });
  return results;
}

}  // namespace vrwkv::test
