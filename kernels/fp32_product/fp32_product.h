// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// a b in fp32, whatever the operands are: fp32, or bf16 whose sums are never rounded to bf16. A GPU's tensor
/// cores sum so anyway, and so do CPUs that multiply bf16; others widen the operands first.
/// @param a, b  (M, K) and (K, N), one type and device, in any layout.
/// @return      a NaN gives NaN in its row, or its column, of the result.
/// @throws ShapeError when sizes, types or devices do not fit each other.
at::Tensor fp32_product(const at::Tensor& a, const at::Tensor& b);

/// The same into `to` (M, N) fp32, or added to what is there.
void fp32_product_into(at::Tensor to, const at::Tensor& a, const at::Tensor& b, bool adds);

}  // namespace vrwkv::kernels
