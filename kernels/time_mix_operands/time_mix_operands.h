// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// What stands before the recurrence; (T, C) but for the bonus. What is an input, or v once more, is handed
/// on and no copy: each reader has its own, so that the gradients that come by all of them are added on the
/// way, which saves passes that would add two each.
struct TimeMixOperands {
  at::Tensor r, k, v, a, b;  // what the recurrence reads beside w; r is the input
  at::Tensor bonus;          // (T, H) fp32, for norm_bonus_gate()
  at::Tensor bonus_v;        // v, for norm_bonus_gate()
  at::Tensor v_first;        // the input, in block 0 v, for the blocks above
};

/// RWKV-7's way from the projections of a time mix to wkv7(). Per token, for the C = H N channels:
///
///     v'    = v + (v_first - v) sigmoid(v_gate)           without v_gate: v itself, not a copy
///     lr    = sigmoid(iclr)                               the in-context learning rate
///     kk    = k k_k, each head divided by max(its L2 norm, 1e-12)
///     a     = -kk
///     b     = kk lr
///     k'    = k (1 + (lr - 1) k_a)
///     bonus = sum_j r_j k'_j r_k,j over each head         of the k' that is handed on, rounded
///
/// @param r, k, v  (T, C), T > 0, fp32 or bf16, one type and device for all activations; copied when not
///                 contiguous.
/// @param iclr     (T, C), with its bias, before the sigmoid.
/// @param v_gate   (T, C), the same; undefined in block 0, as is `v_first`.
/// @param v_first  (T, C), the values of block 0.
/// @param k_k, k_a C elements, fp32.
/// @param r_k      (H, N), fp32. N is a multiple of 16; on CUDA 32, 64 or 128. C = H N.
/// @return  activations of the inputs' type, computed in fp32; differentiable (once) in every tensor. No
///          gradient goes through a norm below 1e-12. A NaN in an input gives NaN in its element of what is
///          made of it; in k or k_k, through the norm, in its head's a and b; in r, k, iclr, k_a or r_k,
///          through the sum, in its head's bonus.
/// @throws ShapeError when sizes, types or devices do not fit each other.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses.
///
/// On a device the work is queued on the current stream; nothing waits for it. The inputs and, per token and
/// head, one number are kept for the gradients. The same inputs give the same bits, for any number of
/// threads: the gradients of k_k, k_a and r_k are sums over tokens in a fixed order.
TimeMixOperands time_mix_operands(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& iclr, const at::Tensor& v_gate, const at::Tensor& v_first,
                                  const at::Tensor& k_k, const at::Tensor& k_a, const at::Tensor& r_k);

}  // namespace vrwkv::kernels
