// SPDX-License-Identifier: Apache-2.0
// What a warp of a chain has of a state: sixteen value rows, all keys. Rows never mix, so the warps of a
// chain never wait for each other.
#pragma once

#include "kernels/wkv/chunked/roles.h"

namespace vrwkv::kernels::cuda::chunked {

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

__device__ __forceinline__ StateRows widened(const StateFactors& factors) {
  StateRows rows;
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) rows.block[i] = widened(factors.block[i]);
  return rows;
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

/// Where state `number` of the kept ones has what a lane holds, in words: each lane's registers, as they are,
/// at a place of its own.
__device__ __forceinline__ std::int64_t kept_word(std::int64_t number, int warp, const Lane& lane) {
  constexpr int kWords = kHead * kHead / 8;
  return number * kWords + warp * (kWords / kChainWarps) + lane.index;
}
__device__ __forceinline__ void keep(void* states, std::int64_t number, const StateFactors& rows, int warp,
                                     const Lane& lane) {
  device::Word4* to = static_cast<device::Word4*>(states) + kept_word(number, warp, lane);
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) {
    const Pair(&x)[4] = rows.block[i].at;
    device::store_16(to + i * device::kWarpLanes, device::Word4{{x[0], x[1], x[2], x[3]}});
  }
}
__device__ __forceinline__ StateFactors kept(const void* states, std::int64_t number, int warp,
                                             const Lane& lane) {
  const device::Word4* from = static_cast<const device::Word4*>(states) + kept_word(number, warp, lane);
  StateFactors rows;
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) {
    const auto words = device::load_16<device::Word4>(from + i * device::kWarpLanes);
#pragma unroll
    for (int n = 0; n < 4; ++n) rows.block[i].at[n] = words.at[n];
  }
  return rows;
}

/// sums += x tile^T, with x (values, keys)
template <int kGap>
__device__ __forceinline__ void add_product(Sums& sums, const StateFactors& x, const PaddedTile<kGap>& tile,
                                            const Lane& lane) {
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) multiply_add(sums, x.block[i], right_transposed(tile.blocks[i], lane));
}

/// rows += x^T tile, with x^T (values, tokens), as it is or split
template <class Factor>
__device__ __forceinline__ void add_outer(StateRows& rows, const Factor& x_transposed,
                                          const ElementTile& tile, const Lane& lane) {
#pragma unroll
  for (int i = 0; i < kBlocks; ++i) multiply_add(rows.block[i], x_transposed, right(tile.blocks[i], lane));
}

}  // namespace vrwkv::kernels::cuda::chunked
