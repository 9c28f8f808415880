// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cuda {

template <class Element>
void wkv7_forward(const Wkv7Inputs<Element>&, const Wkv7Outputs<Element>&, const Wkv7Kept&, void*) {
  throw_cuda_not_built("wkv7");
}

template <class Element>
void wkv7_backward(const Wkv7Inputs<Element>&, const Wkv7Kept&, const Wkv7OutputGradients<Element>&,
                   const Wkv7InputGradients<Element>&, void*, void*) {
  throw_cuda_not_built("wkv7");
}

void wkv7_chunked_forward(const Wkv7Inputs<Bf16>&, const Wkv7Outputs<Bf16>&, const Wkv7Kept&, void*) {
  throw_cuda_not_built("wkv7");
}

void wkv7_chunked_backward(const Wkv7Inputs<Bf16>&, const Wkv7Kept&, const Wkv7OutputGradients<Bf16>&,
                           const Wkv7InputGradients<Bf16>&, void*, void*) {
  throw_cuda_not_built("wkv7");
}

#define VRWKV_INSTANTIATE(Element)                                                                     \
  template void wkv7_forward(const Wkv7Inputs<Element>&, const Wkv7Outputs<Element>&, const Wkv7Kept&, \
                             void*);                                                                   \
  template void wkv7_backward(const Wkv7Inputs<Element>&, const Wkv7Kept&,                             \
                              const Wkv7OutputGradients<Element>&, const Wkv7InputGradients<Element>&, \
                              void*, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
