// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv7/wkv7.h"

namespace vrwkv::kernels {

/// wkv7() in fp64 tensor operations, token by token, so that autograd gives its gradients. Same arguments,
/// fp64 results.
Wkv7Result wkv7_reference(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                          const at::Tensor& a, const at::Tensor& b, const at::Tensor& sequence_starts,
                          const at::Tensor& initial_state = {}, const Wkv7Options& options = {});

}  // namespace vrwkv::kernels
