// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include "kernels/relu_squared/relu_squared_backend.h"
#include "kernels/relu_squared/relu_squared_cpu_elements.h"

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {
namespace {

constexpr std::int64_t kElementsPerThread = 32768;

}  // namespace

template <class Element>
void relu_squared_forward(std::int64_t count, const Element* x, Element* y) {
  static const auto run = VRWKV_WIDEST(relu_squared_forward_elements<Element>);
  at::parallel_for(0, count, kElementsPerThread,
                   [&](std::int64_t begin, std::int64_t end) { run(end - begin, x + begin, y + begin); });
}

template <class Element>
void relu_squared_backward(std::int64_t count, const Element* x, const Element* d_y, Element* d_x) {
  static const auto run = VRWKV_WIDEST(relu_squared_backward_elements<Element>);
  at::parallel_for(0, count, kElementsPerThread, [&](std::int64_t begin, std::int64_t end) {
    run(end - begin, x + begin, d_y + begin, d_x + begin);
  });
}

template void relu_squared_forward(std::int64_t, const float*, float*);
template void relu_squared_forward(std::int64_t, const Bf16*, Bf16*);
template void relu_squared_backward(std::int64_t, const float*, const float*, float*);
template void relu_squared_backward(std::int64_t, const Bf16*, const Bf16*, Bf16*);

}  // namespace vrwkv::kernels::cpu
