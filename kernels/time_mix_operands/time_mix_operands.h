// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vrwkv::kernels {

/// What the recurrence reads beside r and w, (T, C) each.
struct TimeMixOperands {
  at::Tensor k, v, a, b;
  /// The input, for the blocks above, which read it too: the gradient that comes by it is added on the way.
  /// Undefined in block 0.
  at::Tensor v_first;
};

/// RWKV-7's way from the projections of a time mix to wkv7(). Per token, for the C = H N channels:
///
///     v'  = v + (v_first - v) sigmoid(v_gate)           without v_gate: v itself, not a copy
///     lr  = sigmoid(iclr)                               the in-context learning rate
///     kk  = k k_k, each head divided by max(its L2 norm, 1e-12)
///     a   = -kk
///     b   = kk lr
///     k'  = k (1 + (lr - 1) k_a)
///
/// @param k, v     (T, C), T > 0, fp32 or bf16, one type and device for all activations; copied when not
///                 contiguous.
/// @param iclr     (T, C), with its bias, before the sigmoid.
/// @param v_gate   (T, C), the same; undefined in block 0, as is `v_first`.
/// @param v_first  (T, C), the values of block 0.
/// @param k_k, k_a C elements, fp32.
/// @param head_size  N: a multiple of 16 that divides C; on CUDA 32, 64 or 128.
/// @return  activations of the inputs' type, computed in fp32; differentiable (once) in every tensor. No
///          gradient goes through a norm below 1e-12. A NaN in k or k_k gives NaN in its head of a token, in
///          another input in its element.
/// @throws ShapeError when sizes, types or devices do not fit each other.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses.
///
/// On a device the work is queued on the current stream; nothing waits for it. The inputs and, per token and
/// head, one number are kept for the gradients. The same inputs give the same bits, for any number of
/// threads: the gradients of k_k and k_a are sums over tokens in a fixed order.
TimeMixOperands time_mix_operands(const at::Tensor& k, const at::Tensor& v, const at::Tensor& iclr,
                                  const at::Tensor& v_gate, const at::Tensor& v_first, const at::Tensor& k_k,
                                  const at::Tensor& k_a, std::int64_t head_size);

}  // namespace vrwkv::kernels
