// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// relu_squared() in fp64 tensor operations, so that autograd gives its gradient.
at::Tensor relu_squared_reference(const at::Tensor& x);

}  // namespace vrwkv::kernels
