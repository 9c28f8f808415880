// SPDX-License-Identifier: Apache-2.0
// What the warps of the gradients do with transposed matrices, whose rows are keys and whose columns are the
// chunk's tokens. In row g + 8 h a lane has four tokens, 2 c, 2 c + 1, 2 c + 8 and 2 c + 9, and the four
// lanes of a row have all: so its sums over tokens stay within them.
#pragma once

#include "kernels/wkv/chunked/tiles.h"

namespace vrwkv::kernels::cuda::chunked {

/// A lane's part of row g + 8 h of a factor.
struct KeyRow {
  __device__ KeyRow(const Left& x, int h) {
    device::unpack_bf16(x.at[h], at[0], at[1]);
    device::unpack_bf16(x.at[2 + h], at[2], at[3]);
  }
  float at[4];
};

/// Element i of the lane's part of row g + 8 h, and its token.
__device__ __forceinline__ float& of_row(Sums& x, int h, int i) { return x.at[i / 2][2 * h + i % 2]; }
__device__ __forceinline__ int token_of(int i, const Lane& lane) { return i / 2 * 8 + lane.c2 + i % 2; }

/// Over the lanes of a row.
__device__ __forceinline__ float row_sum(float x) {
  x += device::shuffle_xor(x, 1);
  return x + device::shuffle_xor(x, 2);
}

/// Element (g + 8 h, g + 8 h), whose lane is 4 g + g / 2, for each g.
__device__ __forceinline__ float diagonal(const Sums& x, int h, const Lane& lane) {
  const float mine = lane.g % 2 == 0 ? x.at[h][2 * h] : x.at[h][2 * h + 1];
  return device::shuffle(mine, 4 * lane.g + lane.g / 2);
}

/// Adds to each element of a row those of all later tokens.
__device__ __forceinline__ void add_later(float (&x)[4], const Lane& lane) {
  float later[2], all[2];  // of the lanes' pairs of tokens, in each eight
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const float mine = x[2 * j] + x[2 * j + 1];
    const float neighbour = device::shuffle_xor(mine, 1);
    const float others = device::shuffle_xor(mine + neighbour, 2);
    later[j] = (lane.c2 % 4 == 0 ? neighbour : 0.0F) + (lane.c2 < 4 ? others : 0.0F);
    all[j] = mine + neighbour + others;
  }
  later[0] += all[1];
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    x[2 * j + 1] += later[j];
    x[2 * j] += x[2 * j + 1];
  }
}

}  // namespace vrwkv::kernels::cuda::chunked
