// SPDX-License-Identifier: Apache-2.0
// From tensors to what kernels take. Activations are fp32 or bf16; kernels are templates on what holds an
// element.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <type_traits>

#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// Calls run(Element{}) with the type that holds an element of `tensor`, fp32 or bf16 (see
/// check_activation()): float or Bf16.
template <class Run>
auto with_element_of(const at::Tensor& tensor, const Run& run) {
  if (tensor.scalar_type() == at::kBFloat16) return run(Bf16{});
  return run(float{});
}

/// The elements of `tensor`, null when it is undefined. `Element` is float, Bf16, or const of these.
template <class Element>
Element* elements(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  if constexpr (std::is_const_v<Element>) {
    return static_cast<Element*>(tensor.const_data_ptr());
  } else {
    return static_cast<Element*>(tensor.mutable_data_ptr());
  }
}

/// `tensor` or a copy of it, contiguous and on a 16-byte boundary, as kernels read it. Differentiable.
inline at::Tensor dense(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return reinterpret_cast<std::uintptr_t>(whole.const_data_ptr()) % 16 == 0 ? whole : whole.clone();
}

/// A copy of a small CPU tensor on `device`, queued on its current stream: nothing waits for it. On a CPU,
/// the tensor itself.
inline at::Tensor queued_copy(const at::Tensor& tensor, at::Device device) {
  if (device.is_cpu()) return tensor;
  return tensor.pin_memory().to(device, tensor.scalar_type(), /*non_blocking=*/true);
}

}  // namespace vrwkv::kernels
