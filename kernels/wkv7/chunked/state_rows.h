// SPDX-License-Identifier: Apache-2.0
// What a warp of a chain has of a state: sixteen value rows, all keys. Rows never mix, so the warps of a
// chain never wait for each other.
#pragma once

#include "kernels/wkv7/chunked/stage.h"
#include "kernels/wkv7/chunked/task.h"

namespace vrwkv::kernels::cuda::chunked {

inline constexpr int kChainWarps = kHead / kChunk;

struct StateRows {
  Sums block[kBlocks];  // of 16 keys
};
/// In bf16, as left factors.
struct StateFactors {
  Left block[kBlocks];
};

__device__ __forceinline__ StateFactors rounded(const StateRows& rows) {
  StateFactors factors;
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) factors.block[i] = rounded(rows.block[i]);
  return factors;
}

/// Calls visit(pair of keys, first of them, value row) for all a lane has of the rows of `warp`.
template <class Visit>
__device__ __forceinline__ void for_each_pair(StateRows& rows, int warp, const Lane& lane,
                                              const Visit& visit) {
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      float* pair = &rows.block[i].at[n / 2][n % 2 * 2];
      visit(pair, 16 * i + n / 2 * 8 + lane.c2, 16 * warp + n % 2 * 8 + lane.g);
    }
  }
}

/// Of number `number` of the fp32 states [value][key]; zeros where `states` is null.
__device__ __forceinline__ StateRows load_rows(const float* states, int number, int warp, const Lane& lane) {
  StateRows rows;
  if (states == nullptr) return rows;
  const float* from = states + static_cast<std::int64_t>(number) * kHead * kHead;
  for_each_pair(rows, warp, lane, [&](float* pair, int key, int value) {
    const auto given = *reinterpret_cast<const Float2*>(from + value * kHead + key);
    pair[0] = given.at[0];
    pair[1] = given.at[1];
  });
  return rows;
}
/// Does nothing where `states` is null.
__device__ __forceinline__ void store_rows(float* states, int number, StateRows& rows, int warp,
                                           const Lane& lane) {
  if (states == nullptr) return;
  float* to = states + static_cast<std::int64_t>(number) * kHead * kHead;
  for_each_pair(rows, warp, lane, [&](const float* pair, int key, int value) {
    *reinterpret_cast<Float2*>(to + value * kHead + key) = {{pair[0], pair[1]}};
  });
}

/// State `number` of the kept ones: each lane's registers, as they are, at a place of its own.
__device__ __forceinline__ device::Word4* kept_words(void* states, std::int64_t number, int warp,
                                                     const Lane& lane) {
  constexpr int kWords = kHead * kHead / 8;
  return static_cast<device::Word4*>(states) + number * kWords + warp * (kWords / kChainWarps) + lane.index;
}
__device__ __forceinline__ void keep(void* states, std::int64_t number, const StateFactors& rows, int warp,
                                     const Lane& lane) {
  device::Word4* to = kept_words(states, number, warp, lane);
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) {
    const Pair(&x)[4] = rows.block[i].at;
    device::store_16(to + i * device::kWarpLanes, device::Word4{{x[0], x[1], x[2], x[3]}});
  }
}
__device__ __forceinline__ StateFactors kept(void* states, std::int64_t number, int warp, const Lane& lane) {
  const device::Word4* from = kept_words(states, number, warp, lane);
  StateFactors rows;
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) {
    const auto words = device::load_16<device::Word4>(from + i * device::kWarpLanes);
#pragma unroll
    for (int n = 0; n < 4; ++n) rows.block[i].at[n] = words.at[n];
  }
  return rows;
}

/// rows diag(P_C)
template <class Stage>
__device__ __forceinline__ void decay(StateRows& rows, const Stage& stage, int warp, const Lane& lane) {
  for_each_pair(rows, warp, lane, [&](float* pair, int key, int /*value*/) {
    const Float2 p = stage.chunk_decay(key);
    pair[0] *= p.at[0];
    pair[1] *= p.at[1];
  });
}

/// sums += x tile^T, with x (values, keys)
template <int kGap>
__device__ __forceinline__ void add_product(Sums& sums, const StateFactors& x, const PaddedTile<kGap>& tile,
                                            const Lane& lane) {
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) multiply_add(sums, x.block[i], right_transposed(tile.blocks[i], lane));
}

/// U^T of these rows: V^T (T M)^T + S_0 W^T
template <class Stage>
__device__ __forceinline__ Left removed_values(const Stage& stage, const StateFactors& state, int warp,
                                               const Lane& lane) {
  Sums u;
  multiply_add(u, left_transposed(stage.v.blocks[warp], lane), right_transposed(stage.tm, lane));
  add_product(u, state, stage.w, lane);
  return rounded(u);
}

/// rows += x^T tile, with x^T (values, tokens)
__device__ __forceinline__ void add_outer(StateRows& rows, const Left& x_transposed, const ElementTile& tile,
                                          const Lane& lane) {
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) multiply_add(rows.block[i], x_transposed, right(tile.blocks[i], lane));
}

/// S_0 becomes S_C.
template <class Stage>
__device__ __forceinline__ void advance(StateRows& rows, const Stage& stage, const Left& u_transposed,
                                        const Left& v_transposed, int warp, const Lane& lane) {
  add_outer(rows, v_transposed, stage.kappa, lane);
  add_outer(rows, u_transposed, stage.beta, lane);
  decay(rows, stage, warp, lane);
}

}  // namespace vrwkv::kernels::cuda::chunked
