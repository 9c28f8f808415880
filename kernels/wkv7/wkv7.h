// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>

#include "kernels/wkv7/decay_input.h"

namespace vrwkv::kernels {

struct Wkv7Options {
  DecayInput decay_input = DecayInput::kPreClamped;

  /// At most so many bytes of states are kept for the backward: as rarely as it takes, but one of each
  /// sequence at least. What lies between is then computed again, once more than otherwise.
  std::int64_t kept_states_bytes = std::numeric_limits<std::int64_t>::max();
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
/// @throws DeviceError when the GPU refuses, or the self-check finds a difference.
/// @throws ConfigError when VRWKV_WKV is neither fallback nor chunked, or asks for chunks that do not fit.
///
/// States and sums are fp32 whatever the inputs are. A NaN in an input gives NaN in what depends on it: from
/// its token on, its sequence's states and outputs of its head, and back from there the gradients. In chunks
/// its 16 tokens count as one.
/// Without gradients nothing is kept for later; with them, one state in 16 tokens or rarer, and S_{t-1} a_t.
/// The same inputs give the same bits, for any number of threads.
///
/// On a device the work is queued on the current stream; nothing waits for it but the self-check. bf16, N =
/// 64 and raw decays are computed in chunks on tensor cores, with bf16 products and fp32 sums; all else is
/// the plain recurrence in fp32, the fallback. A process's first results in chunks, of the forward and of the
/// backward, are compared with the fallback's. The environment variable VRWKV_WKV, fallback or chunked,
/// forces one and checks nothing; in chunks a pre-clamped decay below e^-4 is taken as e^-4, and its w has no
/// gradient.
Wkv7Result wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& a, const at::Tensor& b, const at::Tensor& sequence_starts,
                const at::Tensor& initial_state = {}, const Wkv7Options& options = {});

}  // namespace vrwkv::kernels
