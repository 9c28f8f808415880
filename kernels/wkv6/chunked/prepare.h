// SPDX-License-Identifier: Apache-2.0
// Everything of a chunk that does not need the state, by one warp: fetches the chunk into a stage, scales the
// operands, and makes E.
#pragma once

#include "kernels/wkv/chunked/fetch.h"
#include "kernels/wkv6/chunked/stage.h"

namespace vrwkv::kernels::cuda::chunked::wkv6 {

/// Decays below exp(-this) are taken as it.
inline constexpr float kLargestRate = 9.5F;

/// -log d; NaN stays NaN.
__device__ __forceinline__ float decay_rate(float w) {
  const float rate = device::exp2_fast(kLog2E * w);
  return rate > kLargestRate ? kLargestRate : rate;
}

/// d log d / d w: for a decay below the least, times how much smaller it is.
__device__ __forceinline__ float decay_slope(float w) {
  constexpr float kGone = 200.0F;
  const float exact = device::exp2_fast(kLog2E * w), rate = exact > kGone ? kGone : exact;
  return rate > kLargestRate ? -rate * device::exp2_fast(kLog2E * (kLargestRate - rate)) : -rate;
}

template <class Stage>
class Preparation {
 public:
  __device__ Preparation(const Wkv6Inputs<Bf16>& in, const Bf16* dy, const Task& task, int head)
      : in_(in), dy_(dy), task_(task) {
    const auto u = *reinterpret_cast<const Float2*>(in.u + head * kHead + lane_.index * 2);
    u_[0] = u.at[0];
    u_[1] = u.at[1];
  }

  /// Leaves `stage` ready for the others, who need a barrier after it.
  __device__ void run(Stage& stage, int chunk) const {
    fetch_chunk(task_, chunk, lane_, [&](const auto& copy) {
      copy(stage.w, in_.w);
      copy(stage.rho, in_.r);
      copy(stage.kappa, in_.k);
      copy(stage.v, in_.v);
      if constexpr (Stage::kBackward) copy(stage.dy, dy_);
    });
    const float bonus = sum_bonuses(stage);
    scale(stage, task_.chunk_tokens(chunk));
    device::warp_barrier();
    multiply_pairs(stage, bonus);
  }

 private:
  /// sum_j r_j u_j k_j of token (lane % 16).
  __device__ float sum_bonuses(Stage& stage) const {
    const int key = lane_.index * 2;
    float sums[kChunk];
#pragma unroll
    for (int token = 0; token < kChunk; ++token) {
      float r[2], k[2];
      device::unpack_bf16(stage.rho.pair(token, key), r[0], r[1]);
      device::unpack_bf16(stage.kappa.pair(token, key), k[0], k[1]);
      sums[token] = r[0] * u_[0] * k[0] + r[1] * u_[1] * k[1];
    }
    halve<kChunk / 2>(sums);
    return sums[0] + device::shuffle_xor(sums[0], kChunk);
  }

  /// Each lane hands half of its sums over to another lane and takes that lane's part of the other half,
  /// until it has one sum of sixteen lanes.
  template <int kHalf>
  __device__ void halve(float (&sums)[kChunk]) const {
    if constexpr (kHalf > 0) {
      const bool upper = (lane_.index & kHalf) != 0;
#pragma unroll
      for (int i = 0; i < kHalf; ++i) {
        const float given = upper ? sums[i] : sums[i + kHalf], mine = upper ? sums[i + kHalf] : sums[i];
        sums[i] = mine + device::shuffle_xor(given, kHalf);
      }
      halve<kHalf / 2>(sums);
    }
  }

  /// r and k become rho and kappa. A lane has two channels of all tokens, so that the products of decays need
  /// no other lane. Tokens beyond the chunk's are zero and do not decay.
  __device__ void scale(Stage& stage, int tokens) const {
    const int key = lane_.index * 2;
    float log2_p[kChunk + 1][2] = {};
#pragma unroll
    for (int token = 0; token < kChunk; ++token) {
      float w[2];
      device::unpack_bf16(stage.w.pair(token, key), w[0], w[1]);
#pragma unroll
      for (int x = 0; x < 2; ++x) {
        const float rate = token < tokens ? decay_rate(w[x]) : 0.0F;
        log2_p[token + 1][x] = log2_p[token][x] - kLog2E * rate;
      }
    }
    const float middle[2] = {log2_p[kChunk / 2][0], log2_p[kChunk / 2][1]};
    Float2 before = {{device::exp2_fast(-middle[0]), device::exp2_fast(-middle[1])}};  // P_{t-1} / P_8
#pragma unroll
    for (int token = 0; token < kChunk; ++token) {
      Float2 quotient;
      float inverse[2];
#pragma unroll
      for (int x = 0; x < 2; ++x) {
        const float log2_quotient = log2_p[token + 1][x] - middle[x];
        quotient.at[x] = device::exp2_fast(log2_quotient);
        inverse[x] = device::exp2_fast(-log2_quotient);
      }
      stage.rho.pair(token, key) = scaled(stage.rho.pair(token, key), before.at);
      stage.kappa.pair(token, key) = scaled(stage.kappa.pair(token, key), inverse);
      stage.set_quotient(token, key, quotient);
      before = quotient;
    }
    *reinterpret_cast<Float2*>(&stage.after_middle[key]) = before;
    *reinterpret_cast<Float2*>(&stage.before_middle[key]) = {
        {device::exp2_fast(middle[0]), device::exp2_fast(middle[1])}};
  }

  /// E, with `bonus` of token (lane % 16).
  __device__ void multiply_pairs(Stage& stage, float bonus) const {
    Sums e;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      multiply_add(e, left(stage.rho.blocks[block], lane_),
                   right_transposed(stage.kappa.blocks[block], lane_));
    }
    keep_lower(e, /*diagonal=*/false, lane_);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = lane_.g + i / 2 % 2 * 8, column = i / 4 * 8 + lane_.c2 + i % 2;
      const float of_row = device::shuffle(bonus, row);
      if (row == column) e.at[i / 4][i % 4] = of_row;
    }
    store(stage.e, rounded(e), lane_);
  }

  const Wkv6Inputs<Bf16>& in_;
  const Bf16* dy_;
  const Task& task_;
  const Lane lane_;
  float u_[2];
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv6
