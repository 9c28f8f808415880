// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"

namespace vrwkv::kernels::cuda {

template <class Element>
void norm_shift_mix_forward(const NormShiftMixInputs<Element>&, const NormShiftMixKept&,
                            const NormShiftMixOutputs<Element>&, void*) {
  throw_cuda_not_built("norm_shift_mix");
}

template <class Element>
void norm_shift_mix_backward(const NormShiftMixInputs<Element>&, const NormShiftMixKept&,
                             const NormShiftMixGradients<Element>&, void*) {
  throw_cuda_not_built("norm_shift_mix");
}

template void norm_shift_mix_forward(const NormShiftMixInputs<float>&, const NormShiftMixKept&,
                                     const NormShiftMixOutputs<float>&, void*);
template void norm_shift_mix_forward(const NormShiftMixInputs<Bf16>&, const NormShiftMixKept&,
                                     const NormShiftMixOutputs<Bf16>&, void*);
template void norm_shift_mix_backward(const NormShiftMixInputs<float>&, const NormShiftMixKept&,
                                      const NormShiftMixGradients<float>&, void*);
template void norm_shift_mix_backward(const NormShiftMixInputs<Bf16>&, const NormShiftMixKept&,
                                      const NormShiftMixGradients<Bf16>&, void*);

}  // namespace vrwkv::kernels::cuda
