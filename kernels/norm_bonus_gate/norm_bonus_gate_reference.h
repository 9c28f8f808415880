// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/norm_bonus_gate/norm_bonus_gate.h"

namespace vrwkv::kernels {

/// norm_bonus_gate() in fp64 tensor operations, so that autograd gives its gradients. Same arguments, fp64
/// result.
at::Tensor norm_bonus_gate_reference(const at::Tensor& y, const at::Tensor& bonus, const at::Tensor& v,
                                     const at::Tensor& g, const at::Tensor& weight, const at::Tensor& bias,
                                     double epsilon);

}  // namespace vrwkv::kernels
