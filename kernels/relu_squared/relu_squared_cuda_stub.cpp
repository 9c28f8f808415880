// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/relu_squared/relu_squared_backend.h"

namespace vrwkv::kernels::cuda {

template <class Element>
void relu_squared_forward(std::int64_t, const Element*, Element*, void*) {
  throw_cuda_not_built("relu_squared");
}

template <class Element>
void relu_squared_backward(std::int64_t, const Element*, const Element*, Element*, void*) {
  throw_cuda_not_built("relu_squared");
}

template void relu_squared_forward(std::int64_t, const float*, float*, void*);
template void relu_squared_forward(std::int64_t, const Bf16*, Bf16*, void*);
template void relu_squared_backward(std::int64_t, const float*, const float*, float*, void*);
template void relu_squared_backward(std::int64_t, const Bf16*, const Bf16*, Bf16*, void*);

}  // namespace vrwkv::kernels::cuda
