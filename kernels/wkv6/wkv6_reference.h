// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv6/wkv6.h"

namespace vrwkv::kernels {

/// wkv6() in fp64 tensor operations, token by token, so that autograd gives its gradients. Same arguments,
/// fp64 results.
Wkv6Result wkv6_reference(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                          const at::Tensor& u, const at::Tensor& sequence_starts,
                          const at::Tensor& initial_state = {});

}  // namespace vrwkv::kernels
