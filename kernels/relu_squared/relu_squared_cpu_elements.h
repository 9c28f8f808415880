// SPDX-License-Identifier: Apache-2.0
// A run of elements, for each instruction set.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/relu_squared/relu_squared_backend.h"

namespace vrwkv::kernels::cpu {

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void relu_squared_forward_elements(std::int64_t count, const Element* x, Element* y);
  template <class Element>
  void relu_squared_backward_elements(std::int64_t count, const Element* x, const Element* d_y, Element* d_x);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
