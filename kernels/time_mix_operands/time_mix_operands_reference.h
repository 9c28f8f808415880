// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/time_mix_operands/time_mix_operands.h"

namespace vrwkv::kernels {

/// time_mix_operands() in fp64 tensor operations, so that autograd gives its gradients. Same arguments, fp64
/// results; the bonus is that of k' rounded to the inputs' type, as the operator hands it on.
TimeMixOperands time_mix_operands_reference(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                            const at::Tensor& iclr, const at::Tensor& v_gate,
                                            const at::Tensor& v_first, const at::Tensor& k_k,
                                            const at::Tensor& k_a, const at::Tensor& r_k);

}  // namespace vrwkv::kernels
