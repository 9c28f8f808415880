// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// map_attention() through LibTorch's fused attention, whose channels are widened by the window's rows and
/// columns: on any device and in any type, at twice the products and three copies of the operands. Arguments
/// as there, unchecked.
at::Tensor widened_attention(const at::Tensor& qkv, const at::Tensor& row_table,
                             const at::Tensor& column_table, const at::Tensor& outside);

}  // namespace vrwkv::kernels
