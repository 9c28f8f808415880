// SPDX-License-Identifier: Apache-2.0
// Calls a backend of time_mix_operands() by its raw-pointer interface, and gives what
// time_mix_operands_results() gives.
#pragma once

#include <vector>

#include "kernels/activations.h"
#include "kernels/time_mix_operands/time_mix_operands_backend.h"
#include "tests/kernels/time_mix_operands_cases.h"

namespace vrwkv::test {

/// @param backend  has forward(inputs, outputs) and backward(inputs, output_gradients, input_gradients).
template <class Backend>
std::vector<at::Tensor> time_mix_operands_raw_results(const Backend& backend, const TimeMixOperandsCase& c,
                                                      const TimeMixOperandsTensors& tensors) {
  using kernels::elements;
  const auto& x = tensors.inputs;
  const auto nan_like = [](const at::Tensor& tensor) { return at::full_like(tensor, NAN); };
  const auto nan_for_values = [&] { return c.mixes_values ? nan_like(x[0]) : at::Tensor(); };
  const at::Tensor k = nan_like(x[0]), a = nan_like(x[0]), b = nan_like(x[0]), v = nan_for_values();
  const at::Tensor inverse_norm = at::full({c.tokens, c.heads}, NAN);
  const at::Tensor dk = nan_like(x[0]), diclr = nan_like(x[0]);
  const at::Tensor dv = nan_for_values(), dv_gate = nan_for_values(), dv_first = nan_for_values();
  const at::Tensor range_sums = at::full({kernels::token_ranges(c.tokens), 2, c.heads * c.head_size}, NAN);
  kernels::with_element_of(x[0], [&](auto element) {
    using Element = decltype(element);
    const auto of_values = [&](const at::Tensor& tensor) {
      return elements<const Element>(c.mixes_values ? tensor : at::Tensor());
    };
    const kernels::TimeMixOperandsInputs<Element> inputs{.tokens = c.tokens,
                                                         .heads = c.heads,
                                                         .head_size = c.head_size,
                                                         .k = elements<const Element>(x[0]),
                                                         .iclr = elements<const Element>(x[2]),
                                                         .v = of_values(x[1]),
                                                         .v_gate = of_values(x[3]),
                                                         .v_first = of_values(x[4]),
                                                         .k_k = elements<const float>(x[5]),
                                                         .k_a = elements<const float>(x[6])};
    backend.forward(inputs,
                    kernels::TimeMixOperandsOutputs<Element>{.k = elements<Element>(k),
                                                             .a = elements<Element>(a),
                                                             .b = elements<Element>(b),
                                                             .v = elements<Element>(v),
                                                             .inverse_norm = elements<float>(inverse_norm)});
    backend.backward(
        inputs,
        kernels::TimeMixOperandsOutputGradients<Element>{.k = elements<const Element>(tensors.gradients[0]),
                                                         .a = elements<const Element>(tensors.gradients[2]),
                                                         .b = elements<const Element>(tensors.gradients[3]),
                                                         .v = of_values(tensors.gradients[1]),
                                                         .v_first = of_values(tensors.gradients[4]),
                                                         .inverse_norm = elements<const float>(inverse_norm)},
        kernels::TimeMixOperandsInputGradients<Element>{.k = elements<Element>(dk),
                                                        .iclr = elements<Element>(diclr),
                                                        .v = elements<Element>(dv),
                                                        .v_gate = elements<Element>(dv_gate),
                                                        .v_first = elements<Element>(dv_first),
                                                        .range_sums = elements<float>(range_sums)});
  });
  const at::Tensor sums = range_sums.sum(0);
  if (!c.mixes_values) return {k, x[1], a, b, dk, tensors.gradients[1], diclr, sums[0], sums[1]};
  return {k, v, a, b, dk, dv, diclr, dv_gate, dv_first, sums[0], sums[1]};
}

}  // namespace vrwkv::test
