// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// Gives every token its predecessor's values: out[b, t] = x[b, t - 1], never across a sequence boundary.
///
/// @param x                (B, T, C), any floating type, any device.
/// @param sequence_starts  (S) int64 on the CPU, ascending, first 0: where the packed sequences begin.
/// @param previous         (B, S, C) like `x`, what stands before each sequence; undefined for zeros.
/// @return                 (B, T, C). Differentiable in `x` and `previous`.
/// @throws ShapeError when sizes, types or devices do not fit each other.
at::Tensor token_shift(const at::Tensor& x, const at::Tensor& sequence_starts,
                       const at::Tensor& previous = {});

}  // namespace vrwkv::kernels
