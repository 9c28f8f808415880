// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_backend.h"

namespace vrwkv::kernels::cuda {

template <class Element>
void norm_bonus_gate_forward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&, Element*,
                             void*) {
  throw_cuda_not_built("norm_bonus_gate");
}

template <class Element>
void norm_bonus_gate_backward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&,
                              const NormBonusGateGradients<Element>&, void*) {
  throw_cuda_not_built("norm_bonus_gate");
}

#define VRWKV_INSTANTIATE(Element)                                                                         \
  template void norm_bonus_gate_forward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&,  \
                                        Element*, void*);                                                  \
  template void norm_bonus_gate_backward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&, \
                                         const NormBonusGateGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
