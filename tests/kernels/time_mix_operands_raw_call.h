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
  const auto &x = tensors.inputs, &given = tensors.gradients;
  const auto fresh = [&] { return nan_like(x[0]); };
  const auto in_later_blocks = [&] { return c.mixes_values ? fresh() : at::Tensor(); };
  const at::Tensor k = fresh(), a = fresh(), b = fresh(), v = in_later_blocks();
  const at::Tensor bonus = at::full({c.tokens, c.heads}, NAN), inverse_norm = nan_like(bonus);
  const at::Tensor dr = fresh(), dk = fresh(), dv = fresh(), diclr = fresh();
  const at::Tensor dv_gate = in_later_blocks(), dv_first = in_later_blocks();
  const at::Tensor range_sums = at::full({kernels::token_ranges(c.tokens), 3, c.heads, c.head_size}, NAN);
  kernels::with_element_of(x[0], [&](auto element) {
    using Element = decltype(element);
    const kernels::TimeMixOperandsInputs<Element> inputs{
        .tokens = c.tokens,
        .heads = c.heads,
        .head_size = c.head_size,
        .r = elements<const Element>(x[0]),
        .k = elements<const Element>(x[1]),
        .iclr = elements<const Element>(x[3]),
        .v = elements<const Element>(c.mixes_values ? x[2] : at::Tensor()),
        .v_gate = elements<const Element>(x[4]),
        .v_first = elements<const Element>(x[5]),
        .k_k = elements<const float>(x[6]),
        .k_a = elements<const float>(x[7]),
        .r_k = elements<const float>(x[8])};
    backend.forward(inputs,
                    kernels::TimeMixOperandsOutputs<Element>{.k = elements<Element>(k),
                                                             .a = elements<Element>(a),
                                                             .b = elements<Element>(b),
                                                             .v = elements<Element>(v),
                                                             .bonus = elements<float>(bonus),
                                                             .inverse_norm = elements<float>(inverse_norm)});
    backend.backward(
        inputs,
        kernels::TimeMixOperandsOutputGradients<Element>{.r = elements<const Element>(given[0]),
                                                         .k = elements<const Element>(given[1]),
                                                         .v = elements<const Element>(given[2]),
                                                         .a = elements<const Element>(given[3]),
                                                         .b = elements<const Element>(given[4]),
                                                         .bonus_v = elements<const Element>(given[6]),
                                                         .v_first = elements<const Element>(given[7]),
                                                         .bonus = elements<const float>(given[5]),
                                                         .inverse_norm = elements<const float>(inverse_norm)},
        kernels::TimeMixOperandsInputGradients<Element>{.r = elements<Element>(dr),
                                                        .k = elements<Element>(dk),
                                                        .iclr = elements<Element>(diclr),
                                                        .v = elements<Element>(dv),
                                                        .v_gate = elements<Element>(dv_gate),
                                                        .v_first = elements<Element>(dv_first),
                                                        .range_sums = elements<float>(range_sums)});
  });
  std::vector<at::Tensor> results = {k, c.mixes_values ? v : x[2], a, b, bonus, dr, dk, dv, diclr};
  if (c.mixes_values) results.insert(results.end(), {dv_gate, dv_first});
  const at::Tensor sums = range_sums.sum(0);
  results.insert(results.end(), {sums[0].view_as(x[6]), sums[1].view_as(x[7]), sums[2]});
  return results;
}

}  // namespace vrwkv::test
