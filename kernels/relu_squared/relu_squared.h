// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// max(x, 0)^2, the channel mix's activation.
///
/// @param x  any shape, fp32 or bf16; copied when not contiguous.
/// @return   like `x`, computed in fp32; differentiable (once). NaN stays NaN.
/// @throws ShapeError when `x` is of another type.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses.
///
/// On a device the work is queued on the current stream; nothing waits for it. `x` is kept for the gradient.
at::Tensor relu_squared(const at::Tensor& x);

}  // namespace vrwkv::kernels
