// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/wkv7/decay_input.h"

namespace vrwkv::kernels {

struct Wkv7Options {
  DecayInput decay_input = DecayInput::kPreClamped;
};

struct Wkv7Result {
  at::Tensor y;  // (B, T, H, N), of the inputs' type
  at::Tensor
      final_state;  // (B, S, H, N, N) fp32, row = value, column = key: after each sequence's last token
};

/// RWKV-7 recurrence, with the decay d_t made of w_t as options.decay_input says:
///
///     S_t = S_{t-1} (diag(d_t) + a_t b_tᵀ) + v_t k_tᵀ        y_t = S_t r_t
///
/// @param r, w, k, v, a, b  (B, T, H, N), all fp32 or all bf16, one device; copied when not contiguous. No
///                          size is 0. N is a multiple of 16, on CUDA 32, 64 or 128.
/// @param sequence_starts   (S) int64 on the CPU, ascending, first 0: where the sequences packed along T
///                          begin, and the state restarts.
/// @param initial_state     (B, S, H, N, N) fp32 like final_state, or undefined for zeros.
/// @return                  differentiable (once) in every tensor, also through final_state.
/// @throws ShapeError when sizes, types or devices do not fit each other.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses.
///
/// States and sums are fp32 whatever the inputs are. A NaN in an input gives NaN in what depends on it: from
/// its token on, its sequence's states and outputs of its head.
/// On a device the work is queued on the current stream; nothing waits for it. Without gradients nothing is
/// kept for later; with them, one state in 16 tokens. The same inputs give the same bits.
Wkv7Result wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& a, const at::Tensor& b, const at::Tensor& sequence_starts,
                const at::Tensor& initial_state = {}, const Wkv7Options& options = {});

}  // namespace vrwkv::kernels
