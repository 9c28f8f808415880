// SPDX-License-Identifier: Apache-2.0
// What relu_squared.cpp asks of a device: `count` elements, float or Bf16, all pointers of that device.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace vrwkv::kernels {

namespace cpu {
template <class Element>
void relu_squared_forward(std::int64_t count, const Element* x, Element* y);
template <class Element>
void relu_squared_backward(std::int64_t count, const Element* x, const Element* d_y, Element* d_x);
}  // namespace cpu

/// On 16-byte boundaries. Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
template <class Element>
void relu_squared_forward(std::int64_t count, const Element* x, Element* y, void* stream);
template <class Element>
void relu_squared_backward(std::int64_t count, const Element* x, const Element* d_y, Element* d_x,
                           void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
