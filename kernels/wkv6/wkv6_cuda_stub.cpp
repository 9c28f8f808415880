// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels::cuda {

template <class Element>
void wkv6_forward(const Wkv6Inputs<Element>&, const Wkv6Outputs<Element>&, void*) {
  throw_cuda_not_built("wkv6");
}

template <class Element>
void wkv6_backward(const Wkv6Inputs<Element>&, const Wkv6OutputGradients<Element>&,
                   const Wkv6InputGradients<Element>&, void*) {
  throw_cuda_not_built("wkv6");
}

void wkv6_chunked_forward(const Wkv6Inputs<Bf16>&, const Wkv6Outputs<Bf16>&, void*) {
  throw_cuda_not_built("wkv6");
}

void wkv6_chunked_backward(const Wkv6Inputs<Bf16>&, const Wkv6OutputGradients<Bf16>&,
                           const Wkv6InputGradients<Bf16>&, void*) {
  throw_cuda_not_built("wkv6");
}

#define VRWKV_INSTANTIATE(Element)                                                             \
  template void wkv6_forward(const Wkv6Inputs<Element>&, const Wkv6Outputs<Element>&, void*);  \
  template void wkv6_backward(const Wkv6Inputs<Element>&, const Wkv6OutputGradients<Element>&, \
                              const Wkv6InputGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
