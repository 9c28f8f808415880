// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/time_mix_operands/time_mix_operands_backend.h"

namespace vrwkv::kernels::cuda {

template <class Element>
void time_mix_operands_forward(const TimeMixOperandsInputs<Element>&, const TimeMixOperandsOutputs<Element>&,
                               void*) {
  throw_cuda_not_built("time_mix_operands");
}

template <class Element>
void time_mix_operands_backward(const TimeMixOperandsInputs<Element>&,
                                const TimeMixOperandsOutputGradients<Element>&,
                                const TimeMixOperandsInputGradients<Element>&, void*) {
  throw_cuda_not_built("time_mix_operands");
}

#define VRWKV_INSTANTIATE(Element)                                                         \
  template void time_mix_operands_forward(const TimeMixOperandsInputs<Element>&,           \
                                          const TimeMixOperandsOutputs<Element>&, void*);  \
  template void time_mix_operands_backward(const TimeMixOperandsInputs<Element>&,          \
                                           const TimeMixOperandsOutputGradients<Element>&, \
                                           const TimeMixOperandsInputGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
