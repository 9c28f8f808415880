// SPDX-License-Identifier: Apache-2.0
// Everything of a chunk that does not need the state, by one warp: fetches the chunk into a stage, scales the
// operands, makes the triangular matrices and the inverse T.
#pragma once

#include <cmath>

#include "kernels/wkv/chunked/fetch.h"
#include "kernels/wkv7/chunked/stage.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

/// Decays below exp(-this) are taken as it.
inline constexpr float kLargestRate = 4.0F;

/// log2 d = kLog2OfRate * decay_rate(w)
template <DecayInput kDecay>
inline constexpr float kLog2OfRate = kDecay == DecayInput::kRaw ? -kLog2E* kRawDecayScale : -kLog2E;

template <DecayInput kDecay>
__device__ __forceinline__ float decay_rate(float w) {
  if constexpr (kDecay == DecayInput::kRaw) {
    return device::reciprocal_fast(1.0F + device::exp2_fast(-kLog2E * w));
  } else {
    const float rate = device::exp_fast(w);
    return rate > kLargestRate ? kLargestRate : rate;  // NaN stays NaN
  }
}

/// d log d / d w
template <DecayInput kDecay>
__device__ __forceinline__ float decay_slope(float w) {
  if constexpr (kDecay == DecayInput::kRaw) {
    const float e = device::exp2_fast(-kLog2E * fabsf(w));  // sigmoid' is even, and 1 - sigmoid would cancel
    const float s = device::reciprocal_fast(1.0F + e);
    return -kRawDecayScale * e * s * s;
  } else {
    const float rate = device::exp_fast(w);
    return rate > kLargestRate ? 0.0F : -rate;
  }
}

template <class Stage, DecayInput kDecay>
class Preparation {
 public:
  __device__ Preparation(const Wkv7Inputs<Bf16>& in, const Bf16* dy, const Task& task)
      : in_(in), dy_(dy), task_(task) {}

  /// Leaves `stage` ready for the others, who need a barrier after it.
  __device__ void run(Stage& stage, int chunk) const {
    fetch_chunk(task_, chunk, lane_, [&](const auto& copy) {
      copy(stage.w, in_.w);
      copy(stage.alpha, in_.a);
      copy(stage.rho, in_.r);
      copy(stage.beta, in_.b);
      copy(stage.kappa, in_.k);
      copy(stage.v, in_.v);
      if constexpr (Stage::kBackward) copy(stage.dy, dy_);
    });
    scale(stage, task_.chunk_tokens(chunk));
    device::warp_barrier();
    multiply_pairs(stage);
    device::warp_barrier();
    invert(stage);
  }

 private:
  /// a, r, b, k become alpha, rho, beta, kappa. A lane has two channels of all tokens, so that the products
  /// of decays need no other lane. Tokens beyond the chunk's are zero and do not decay.
  __device__ void scale(Stage& stage, int tokens) const {
    const int key = lane_.index * 2;
    float log2_p[2] = {}, before[2] = {1.0F, 1.0F};
#pragma unroll
    for (int first = 0; first < kChunk; first += 4) {
      // Four tokens' loads before the stores, which the compiler cannot know to be elsewhere.
      Pair a[4], r[4], b[4], k[4];
      Float2 p[4], inverse[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = first + i;
        const float log2_of_rate = token < tokens ? kLog2OfRate<kDecay> : 0.0F;
        a[i] = stage.alpha.pair(token, key);
        r[i] = stage.rho.pair(token, key);
        b[i] = stage.beta.pair(token, key);
        k[i] = stage.kappa.pair(token, key);
        float w[2];
        device::unpack_bf16(stage.w.pair(token, key), w[0], w[1]);
#pragma unroll
        for (int x = 0; x < 2; ++x) {
          log2_p[x] += log2_of_rate * decay_rate<kDecay>(w[x]);
          p[i].at[x] = device::exp2_fast(log2_p[x]);
          inverse[i].at[x] = device::exp2_fast(-log2_p[x]);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = first + i;
        stage.alpha.pair(token, key) = scaled(a[i], before);
        stage.rho.pair(token, key) = scaled(r[i], p[i].at);
        stage.beta.pair(token, key) = scaled(b[i], inverse[i].at);
        stage.kappa.pair(token, key) = scaled(k[i], inverse[i].at);
        stage.set_decay(token, key, p[i]);
        before[0] = p[i].at[0];
        before[1] = p[i].at[1];
      }
    }
  }

  __device__ void multiply_pairs(Stage& stage) const {
    Sums l, m, g, e;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      const Left alpha = left(stage.alpha.blocks[block], lane_), rho = left(stage.rho.blocks[block], lane_);
      const Right beta = right_transposed(stage.beta.blocks[block], lane_);
      const Right kappa = right_transposed(stage.kappa.blocks[block], lane_);
      multiply_add(l, alpha, beta);
      multiply_add(m, alpha, kappa);
      multiply_add(g, rho, beta);
      multiply_add(e, rho, kappa);
    }
    keep_lower(m, /*diagonal=*/false, lane_);
    keep_lower(g, /*diagonal=*/true, lane_);
    keep_lower(e, /*diagonal=*/true, lane_);
    store(stage.m, rounded(m), lane_);
    store(stage.g, rounded(g), lane_);
    store(stage.e, rounded(e), lane_);
    float* to = stage.scratch.l;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = (lane_.g + i % 2 * 8) * Scratch::kRow + i / 2 * 8 + lane_.c2;
      *reinterpret_cast<Float2*>(&to[at]) = {{l.at[i / 2][i % 2 * 2], l.at[i / 2][i % 2 * 2 + 1]}};
    }
  }

  /// T, a column a lane, by substitution in fp32: when row k is final all later rows take their part of it,
  /// so that no more than 15 additions follow one another. (The upper 16 lanes do the same again.)
  __device__ void invert(Stage& stage) const {
    const float* l = stage.scratch.l;
    const int column = lane_.index % kChunk;
    float x[kChunk];
#pragma unroll
    for (int i = 0; i < kChunk; ++i) x[i] = i == column ? 1.0F : 0.0F;
#pragma unroll
    for (int first = 0; first < kChunk; first += 4) {
      device::Float4 rows[kChunk];
#pragma unroll
      for (int i = first + 1; i < kChunk; ++i) {
        rows[i] = device::load_16<device::Float4>(&l[i * Scratch::kRow + first]);
      }
#pragma unroll
      for (int k = first; k < first + 4; ++k) {
#pragma unroll
        for (int i = k + 1; i < kChunk; ++i) x[i] += rows[i].at[k - first] * x[k];
      }
    }
    if (lane_.index < kChunk) {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) x[i] = i == column ? 0.0F : x[i];  // T - I
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        device::Word4 words;
#pragma unroll
        for (int i = 0; i < 4; ++i) words.at[i] = device::pack_bf16(x[8 * p + 2 * i], x[8 * p + 2 * i + 1]);
        device::store_16(&stage.inverse.pair(column, 8 * p), words);
      }
    }
  }

  const Wkv7Inputs<Bf16>& in_;
  const Bf16* dy_;
  const Task& task_;
  const Lane lane_;
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
