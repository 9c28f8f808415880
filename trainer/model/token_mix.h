// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace vrwkv::model {

/// For each coefficient c: x + (shifted - x) c, in one pass over x and shifted, and one pass backward. A
/// chain of tensor operations moves several times as many bytes, and bytes are what a small model waits for.
/// @param x, shifted    (T, C) fp32 on the CPU.
/// @param coefficients  each (C).
/// @return              one (T, C) per coefficient. Differentiable (once) in everything.
/// Sums over tokens run in ascending order: the same bits for any number of threads.
std::vector<at::Tensor> token_mix(const at::Tensor& x, const at::Tensor& shifted,
                                  const std::vector<at::Tensor>& coefficients);

}  // namespace vrwkv::model
