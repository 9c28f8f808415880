// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/octet.h"
#include "kernels/relu_squared/relu_squared_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::load_octet;
using device::Octet;
using device::octet_of;
using device::store_octet;

constexpr int kThreads = 256;

/// A comparison with NaN is false, so that NaN stays.
__device__ __forceinline__ float relu(float x) { return x < 0.0F ? 0.0F : x; }

__device__ __forceinline__ float square(float x) { return relu(x) * relu(x); }

__device__ __forceinline__ float gradient(float x, float d_y) { return 2.0F * relu(x) * d_y; }

/// Of the first element of this thread's eight.
__device__ __forceinline__ std::int64_t first_element() {
  return (static_cast<std::int64_t>(device::block_index()) * kThreads + device::thread_index()) *
         Octet::kChannels;
}

template <class Element>
__global__ void __launch_bounds__(kThreads)
    relu_squared_forward_kernel(std::int64_t count, const Element* x, Element* y) {
  const std::int64_t first = first_element();
  if (first + Octet::kChannels <= count) {
    const Octet in = load_octet(x + first);
    store_octet(y + first, octet_of([&](int i) { return square(in.at[i]); }));
    return;
  }
  for (std::int64_t i = first; i < count; ++i) y[i] = from_float<Element>(square(to_float(x[i])));
}

template <class Element>
__global__ void __launch_bounds__(kThreads)
    relu_squared_backward_kernel(std::int64_t count, const Element* x, const Element* d_y, Element* d_x) {
  const std::int64_t first = first_element();
  if (first + Octet::kChannels <= count) {
    const Octet in = load_octet(x + first), d_out = load_octet(d_y + first);
    store_octet(d_x + first, octet_of([&](int i) { return gradient(in.at[i], d_out.at[i]); }));
    return;
  }
  for (std::int64_t i = first; i < count; ++i)
    d_x[i] = from_float<Element>(gradient(to_float(x[i]), to_float(d_y[i])));
}

std::int64_t blocks(std::int64_t count) {
  constexpr std::int64_t kOfABlock = kThreads * Octet::kChannels;
  return (count + kOfABlock - 1) / kOfABlock;
}

}  // namespace

template <class Element>
void relu_squared_forward(std::int64_t count, const Element* x, Element* y, void* stream) {
  if (count == 0) return;
  device::launch(relu_squared_forward_kernel<Element>, blocks(count), kThreads, 0, stream, count, x, y);
}

template <class Element>
void relu_squared_backward(std::int64_t count, const Element* x, const Element* d_y, Element* d_x,
                           void* stream) {
  if (count == 0) return;
  device::launch(relu_squared_backward_kernel<Element>, blocks(count), kThreads, 0, stream, count, x, d_y,
                 d_x);
}

template void relu_squared_forward(std::int64_t, const float*, float*, void*);
template void relu_squared_forward(std::int64_t, const Bf16*, Bf16*, void*);
template void relu_squared_backward(std::int64_t, const float*, const float*, float*, void*);
template void relu_squared_backward(std::int64_t, const Bf16*, const Bf16*, Bf16*, void*);

}  // namespace vrwkv::kernels::cuda
