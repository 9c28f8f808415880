// SPDX-License-Identifier: Apache-2.0
// Calls a backend of norm_bonus_gate() by its raw-pointer interface, and gives what
// norm_bonus_gate_results() gives.
#pragma once

#include <vector>

#include "kernels/activations.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_backend.h"
#include "tests/kernels/norm_bonus_gate_cases.h"

namespace vrwkv::test {

/// @param backend  has forward(inputs, moments, out) and backward(inputs, moments, gradients).
template <class Backend>
std::vector<at::Tensor> norm_bonus_gate_raw_results(const Backend& backend, const NormBonusGateCase& c,
                                                    const NormBonusGateTensors& tensors) {
  using kernels::elements;
  const auto& x = tensors.inputs;
  std::vector<at::Tensor> results = {nan_like(x[0])};  // out, dy, dbonus, dv, dg
  for (std::size_t i = 0; i < 4; ++i) results.push_back(nan_like(x[i]));
  const at::Tensor mean = at::full({c.tokens, c.heads}, NAN), scale = nan_like(mean);
  const at::Tensor range_sums = at::full({kernels::token_ranges(c.tokens), 2, c.heads * c.head_size}, NAN);
  kernels::with_element_of(x[0], [&](auto element) {
    using Element = decltype(element);
    const kernels::NormBonusGateInputs<Element> inputs{.tokens = c.tokens,
                                                       .heads = c.heads,
                                                       .head_size = c.head_size,
                                                       .epsilon = static_cast<float>(kGroupEpsilon),
                                                       .y = elements<const Element>(x[0]),
                                                       .v = elements<const Element>(x[2]),
                                                       .g = elements<const Element>(x[3]),
                                                       .bonus = elements<const float>(x[1]),
                                                       .weight = elements<const float>(x[4]),
                                                       .bias = elements<const float>(x[5])};
    const kernels::NormBonusGateMoments moments{.mean = elements<float>(mean),
                                                .scale = elements<float>(scale)};
    backend.forward(inputs, moments, elements<Element>(results[0]));
    backend.backward(
        inputs, moments,
        kernels::NormBonusGateGradients<Element>{.out = elements<const Element>(tensors.gradient),
                                                 .y = elements<Element>(results[1]),
                                                 .v = elements<Element>(results[3]),
                                                 .g = elements<Element>(results[4]),
                                                 .bonus = elements<float>(results[2]),
                                                 .range_sums = elements<float>(range_sums)});
  });
  const at::Tensor sums = range_sums.sum(0);
  results.insert(results.end(), {sums[0], sums[1]});
  return results;
}

}  // namespace vrwkv::test
