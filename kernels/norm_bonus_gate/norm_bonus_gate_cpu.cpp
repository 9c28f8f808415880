// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_token_range.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_backend.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_cpu_range.h"

namespace vrwkv::kernels::cpu {

template <class Element>
void norm_bonus_gate_forward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                             Element* out) {
  static const auto run = VRWKV_WIDEST(norm_bonus_gate_forward_range<Element>);
  for_each_token_range(inputs.tokens, [&](const TokenRange& range) { run(inputs, moments, out, range); });
}

template <class Element>
void norm_bonus_gate_backward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                              const NormBonusGateGradients<Element>& gradients) {
  static const auto run = VRWKV_WIDEST(norm_bonus_gate_backward_range<Element>);
  for_each_token_range(inputs.tokens,
                       [&](const TokenRange& range) { run(inputs, moments, gradients, range); });
}

#define VRWKV_INSTANTIATE(Element)                                                                         \
  template void norm_bonus_gate_forward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&,  \
                                        Element*);                                                         \
  template void norm_bonus_gate_backward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&, \
                                         const NormBonusGateGradients<Element>&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu
