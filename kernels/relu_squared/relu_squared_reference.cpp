// SPDX-License-Identifier: Apache-2.0
#include "kernels/relu_squared/relu_squared_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

at::Tensor relu_squared_reference(const at::Tensor& x) { return x.to(at::kDouble).relu().square(); }

}  // namespace vrwkv::kernels
