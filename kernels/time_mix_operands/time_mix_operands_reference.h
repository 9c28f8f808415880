// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/time_mix_operands/time_mix_operands.h"

namespace vrwkv::kernels {

/// time_mix_operands() in fp64 tensor operations, so that autograd gives its gradients. Same arguments, fp64
/// results.
TimeMixOperands time_mix_operands_reference(const at::Tensor& k, const at::Tensor& v, const at::Tensor& iclr,
                                            const at::Tensor& v_gate, const at::Tensor& v_first,
                                            const at::Tensor& k_k, const at::Tensor& k_a,
                                            std::int64_t head_size);

}  // namespace vrwkv::kernels
