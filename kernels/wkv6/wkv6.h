// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

struct Wkv6Result {
  at::Tensor y;  // (B, T, H, N), of the inputs' type
  at::Tensor
      final_state;  // (B, S, H, N, N) fp32, row = value, column = key: after each sequence's last token
};

/// RWKV-6 recurrence (Peng et al., 2024, "Eagle and Finch"), with d_t = exp(-exp(w_t)):
///
///     y_t = S_{t-1} r_t + (sum_j r_t,j u_j k_t,j) v_t        S_t = S_{t-1} diag(d_t) + v_t k_tᵀ
///
/// @param r, k, v, w       (B, T, H, N), all fp32 or all bf16, one device; copied when not contiguous. No
///                         size is 0. N is a multiple of 16, on CUDA 32, 64 or 128. `w` is any real; d_t is
///                         in [0, 1].
/// @param u                (H, N) fp32: how much more the token itself counts.
/// @param sequence_starts  (S) int64 on the CPU, contiguous, ascending, first 0: where the sequences packed
///                         along T begin, and the state restarts.
/// @param initial_state    (B, S, H, N, N) fp32 like final_state, or undefined for zeros.
/// @return                 differentiable (once) in every tensor, also through final_state.
/// @throws ShapeError when sizes, types or devices do not fit each other.
/// @throws NotBuiltError on CUDA tensors in a build without CUDA.
/// @throws DeviceError when the GPU refuses, or the self-check of recurrence_check.h finds a difference.
/// @throws ConfigError when VRWKV_WKV is wrong, or asks for what does not serve (recurrence_kernel.h).
///
/// On a CUDA device bf16 with N = 64 is computed in chunks on tensor cores, whose operands are rounded to
/// bf16, all else token by token in fp32 (wkv6_backend.h). States are fp32 whatever the inputs are. A NaN in
/// an input gives NaN in what depends on it; in chunks its 16 tokens count as one. On a device the work is
/// queued on the current stream; nothing waits for it but the self-check. Without gradients nothing is kept
/// for later; with them, one state in 16 tokens, in chunks one in 32 (wkv6_within() holds fewer). The same
/// inputs give the same bits, for any number of threads: the gradient of u is summed in a fixed order.
Wkv6Result wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                const at::Tensor& u, const at::Tensor& sequence_starts, const at::Tensor& initial_state = {});

}  // namespace vrwkv::kernels
