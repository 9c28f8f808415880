// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// RWKV-7's way from wkv7() to the output projection of a time mix. Per token and head of N channels:
///
///     out = (weight (y - mean(y)) / sqrt(variance(y) + epsilon) + bias + bonus v) g
///
/// with the population's variance: GroupNorm over the heads of a token, the bonus of the token itself, the
/// gate.
///
/// @param y        (T, C), T > 0, the recurrence's output; fp32 or bf16, one type and device for all
///                 activations; copied when not contiguous.
/// @param bonus    (T, H), fp32, of time_mix_operands(). C = H N; N is a multiple of 16, on CUDA 32, 64 or
///                 128.
/// @param v, g     (T, C); v as the recurrence had it.
/// @param weight   C elements, fp32.
/// @param bias     C elements, fp32.
/// @param epsilon  added to the variance, positive.
/// @return  (T, C) of the activations' type, computed in fp32; differentiable (once) in every tensor. A NaN
///          in y or bonus gives NaN in its head of a token, in another input in its element.
/// @throws ShapeError when sizes, types or devices do not fit each other.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses.
///
/// On a device the work is queued on the current stream; nothing waits for it. The inputs and, per token and
/// head, two numbers are kept for the gradients. The same inputs give the same bits, for any number of
/// threads: the gradients of weight and bias are sums over tokens in a fixed order.
at::Tensor norm_bonus_gate(const at::Tensor& y, const at::Tensor& bonus, const at::Tensor& v,
                           const at::Tensor& g, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon);

}  // namespace vrwkv::kernels
