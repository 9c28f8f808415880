// SPDX-License-Identifier: Apache-2.0
// Matrices of 16 x 16 in the registers of a warp, and the tiles of shared memory that they come from.
//
// A lane is 4 g + c. Of a matrix of sums it holds the elements (g + 8 h, 8 j + 2 c + x) for h, j, x in {0,
// 1}. Rounded to bf16 they are, register for register, what the tensor cores want of a left factor; with two
// registers exchanged they are the right factor of the transposed matrix. So a result becomes a factor
// without moving between lanes.
#pragma once

#include <cstdint>

#include "kernels/device/device.h"

namespace vrwkv::kernels::cuda::chunked {

inline constexpr int kChunk = 16;               // tokens of a chunk; and the side of a block below
inline constexpr int kHead = 64;                // channels of a head
inline constexpr int kBlocks = kHead / kChunk;  // of its channels

/// Two bf16, the first in the low half.
using Pair = std::uint32_t;

struct alignas(8) Float2 {
  float at[2];
};
struct alignas(8) Pair2 {
  Pair at[2];
};

struct Lane {
  __device__ Lane() : index(device::thread_index() % device::kWarpLanes), g(index / 4), c2(index % 4 * 2) {}
  int index, g, c2;  // c2 is 2 c
};

/// fp32: element (g + 8 h, 8 j + 2 c + x) in at[j][2 h + x].
struct Sums {
  float at[2][4] = {};
};
/// bf16: elements (g + 8 h, 8 j + 2 c ..) in at[2 j + h].
struct Left {
  Pair at[4];
};
/// The sum of two: `high` is what a matrix rounds to, `low` what that leaves of it.
struct Split {
  Left high, low;
};
/// bf16: elements (8 i + 2 c .., 8 j + g) in at[2 j + i].
struct Right {
  Pair at[4];
};

__device__ __forceinline__ Right transposed(const Left& x) { return {{x.at[0], x.at[2], x.at[1], x.at[3]}}; }
__device__ __forceinline__ Left transposed(const Right& x) { return {{x.at[0], x.at[2], x.at[1], x.at[3]}}; }

__device__ __forceinline__ Left rounded(const Sums& x) {
  return {{device::pack_bf16(x.at[0][0], x.at[0][1]), device::pack_bf16(x.at[0][2], x.at[0][3]),
           device::pack_bf16(x.at[1][0], x.at[1][1]), device::pack_bf16(x.at[1][2], x.at[1][3])}};
}
__device__ __forceinline__ Sums widened(const Left& x) {
  Sums sums;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    device::unpack_bf16(x.at[i], sums.at[i / 2][i % 2 * 2], sums.at[i / 2][i % 2 * 2 + 1]);
  }
  return sums;
}

__device__ __forceinline__ Split split(const Sums& x) {
  const Left high = rounded(x);
  Sums low = widened(high);
#pragma unroll
  for (int i = 0; i < 8; ++i) low.at[i / 4][i % 4] = x.at[i / 4][i % 4] - low.at[i / 4][i % 4];
  return {high, rounded(low)};
}

__device__ __forceinline__ Pair scaled(Pair x, const float (&by)[2]) {
  float low, high;
  device::unpack_bf16(x, low, high);
  return device::pack_bf16(low * by[0], high * by[1]);
}

/// Zeros above the diagonal, and on it unless `diagonal`.
__device__ __forceinline__ void keep_lower(Sums& x, bool diagonal, const Lane& lane) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = lane.g + i / 2 % 2 * 8, column = i / 4 * 8 + lane.c2 + i % 2;
    if (row < column || (row == column && !diagonal)) x.at[i / 4][i % 4] = 0.0F;
  }
}

/// sums += a b
__device__ __forceinline__ void multiply_add(Sums& sums, const Left& a, const Right& b) {
  device::mma_16x8x16(sums.at[0], a.at, b.at[0], b.at[1]);
  device::mma_16x8x16(sums.at[1], a.at, b.at[2], b.at[3]);
}
__device__ __forceinline__ void multiply_add(Sums& sums, const Split& a, const Right& b) {
  multiply_add(sums, a.high, b);
  multiply_add(sums, a.low, b);
}

/// 16 x 16 in bf16, as two panels of eight columns. The rows of a panel, 16 bytes each, follow one another,
/// so that the eight rows of a matrix that the tensor cores load, and a register of all lanes that is stored,
/// are 128 bytes in a row: all banks once.
template <int kGap>
struct alignas(16) PaddedBlock {
  /// The pair of elements (row, column) and (row, column + 1); `column` is even.
  __device__ Pair& pair(int row, int column) { return panels[column / 8][4 * row + column % 8 / 2]; }
  /// What a lane points at for the tensor cores to load the four matrices in the order of Left...
  __device__ const Pair* row_for_left(const Lane& lane) const {
    return &panels[lane.index / 16][4 * (lane.index % 16)];
  }
  /// ... and of Right.
  __device__ const Pair* row_for_right(const Lane& lane) const {
    return &panels[lane.index / 8 % 2][4 * (lane.index / 16 * 8 + lane.index % 8)];
  }
  Pair panels[2][4 * kChunk + kGap];
};
using Block = PaddedBlock<0>;

/// The chunk's tokens, a row each, by 64 channels.
template <int kGap>
struct PaddedTile {
  __device__ Pair& pair(int token, int channel) { return blocks[channel / 16].pair(token, channel % 16); }
  PaddedBlock<kGap> blocks[kBlocks];
};
using TokenTile = PaddedTile<0>;
/// With a gap after a panel, the pairs that a row has in the eight panels meet all banks once too.
using ElementTile = PaddedTile<4>;

/// The same in fp32. Columns are exchanged by eights from row to row: the warps of the gradients read eight
/// columns of every second row at once.
struct alignas(16) FloatTile {
  __device__ float& at(int token, int channel) { return values[index(token, channel)]; }
  __device__ float at(int token, int channel) const { return values[index(token, channel)]; }
  /// Of `channel`, which is even, and the next.
  __device__ Float2& pair(int token, int channel) {
    return *reinterpret_cast<Float2*>(&values[index(token, channel)]);
  }
  __device__ const Float2& pair(int token, int channel) const {
    return *reinterpret_cast<const Float2*>(&values[index(token, channel)]);
  }
  __device__ static int index(int token, int channel) { return token * kHead + (channel ^ (token & 6) << 2); }
  float values[kChunk * kHead];
};

// A block as a factor, as it is or transposed. The matrices are loaded in the order that the factor wants:
// exchanging registers afterwards would be moves.
template <int kGap>
__device__ __forceinline__ Left left(const PaddedBlock<kGap>& block, const Lane& lane) {
  Left x;
  device::load_matrices<false>(x.at, block.row_for_left(lane));
  return x;
}
template <int kGap>
__device__ __forceinline__ Right right(const PaddedBlock<kGap>& block, const Lane& lane) {
  Right x;
  device::load_matrices<true>(x.at, block.row_for_left(lane));
  return x;
}
template <int kGap>
__device__ __forceinline__ Left left_transposed(const PaddedBlock<kGap>& block, const Lane& lane) {
  Left x;
  device::load_matrices<true>(x.at, block.row_for_right(lane));
  return x;
}
template <int kGap>
__device__ __forceinline__ Right right_transposed(const PaddedBlock<kGap>& block, const Lane& lane) {
  Right x;
  device::load_matrices<false>(x.at, block.row_for_right(lane));
  return x;
}

template <int kGap>
__device__ __forceinline__ void store(PaddedBlock<kGap>& block, const Left& x, const Lane& lane) {
#pragma unroll
  for (int n = 0; n < 4; ++n) block.pair(lane.g + n % 2 * 8, n / 2 * 8 + lane.c2) = x.at[n];
}

}  // namespace vrwkv::kernels::cuda::chunked
