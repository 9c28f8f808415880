// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/norm_shift_mix/norm_shift_mix.h"

namespace vrwkv::kernels {

/// norm_shift_mix() in fp64 tensor operations, so that autograd gives its gradients. Same arguments, fp64
/// results.
NormShiftMix norm_shift_mix_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                      double epsilon, const std::vector<at::Tensor>& mixes,
                                      const at::Tensor& sequence_starts, const at::Tensor& previous = {});

}  // namespace vrwkv::kernels
