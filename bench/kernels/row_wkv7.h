// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace vrwkv::bench {

/// A rival for measurements: WKV-7 as the first CUDA kernels of RWKV-7's authors compute it, a thread for
/// each row of the state. Written from the description of the algorithm: 64 threads a head, sums within a
/// thread, two barriers a token forward and three backward, the state kept in fp32 every 16 tokens and
/// stepped back from there by S_{t-1} = (S_t - (S_{t-1} a_t) b_tᵀ - v_t k_tᵀ) diag(1 / d_t), which decays of
/// at least 0.545 allow.
///
/// Tensors (B, T, H, 64), T a multiple of 16; the decay as DecayInput::kPreClamped; the state starts at zero.
struct RowWkv7 {
  static constexpr int kHeadSize = 64;
  static constexpr int kKeptEvery = 16;

  std::int64_t batch = 0, tokens = 0, heads = 0;
  const kernels::Bf16 *r, *w, *k, *v, *a, *b;
  float* states;   ///< (B, H, T / 16, 64, 64), key major: after each 16 tokens
  float* state_a;  ///< (B, T, H, 64): S_{t-1} a_t
};

struct RowWkv7Gradients {
  kernels::Bf16 *r, *w, *k, *v, *a, *b;
};

/// Queued on `stream`. @throws DeviceError.
void row_wkv7_forward(const RowWkv7& problem, kernels::Bf16* y, void* stream);
/// Reads what forward kept. @throws DeviceError.
void row_wkv7_backward(const RowWkv7& problem, const kernels::Bf16* d_y, const RowWkv7Gradients& gradients,
                       void* stream);

}  // namespace vrwkv::bench
