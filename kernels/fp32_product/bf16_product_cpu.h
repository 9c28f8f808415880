// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/fp32_product/bf16_panel.h"

namespace vrwkv::kernels::cpu {

/// Whether this processor multiplies bf16 numbers and adds them up in fp32 by instructions of its own
/// (AVX-512 BF16 or AMX). What oneDNN is told by ONEDNN_MAX_CPU_ISA is not looked at.
bool multiplies_bf16();

/// What bf16_product() holds of its factors at once, at most: panels of the right one, and in each thread a
/// panel of the left one.
inline constexpr std::int64_t kMostPackedBytes = 4 << 20;
inline constexpr std::int64_t kMostThreadBytes = 144 << 10;

/// to = a b, or to += a b, in fp32 sums, by oneDNN's product of panels, on ATen's threads. The order of a sum
/// does not depend on how many they are. multiplies_bf16() must be true.
/// @param a   M vectors of K elements, the rows of the left factor.
/// @param b   N vectors of K elements, the columns of the right one.
/// @param to  (M, N) fp32 with `row_stride` floats from row to row.
void bf16_product(const Bf16Vectors& a, const Bf16Vectors& b, float* to, std::int64_t row_stride, bool adds);

}  // namespace vrwkv::kernels::cpu
