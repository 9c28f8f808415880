// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cross_entropy/head_cross_entropy.h"

namespace vrwkv::kernels {

/// head_cross_entropy() with all logits at once, in fp64, its gradients from autograd. Same arguments, fp64
/// results.
HeadLoss head_cross_entropy_reference(const at::Tensor& hidden, const at::Tensor& head,
                                      const at::Tensor& targets, const at::Tensor& weights,
                                      double l2wrap_scale);

}  // namespace vrwkv::kernels
