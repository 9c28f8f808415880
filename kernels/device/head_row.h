// SPDX-License-Identifier: Apache-2.0
// A head's channels spread over the lanes of a warp, for kernels that work on one token's head at a time.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/device/device.h"

namespace vrwkv::kernels::device {

/// Lane l has the neighbouring channels l kChannels, ..., l kChannels + kChannels - 1.
template <int kHeadSize>
struct HeadRow {
  static constexpr int kChannels = kHeadSize / kWarpLanes;
  static_assert(kHeadSize % kWarpLanes == 0, "every lane has as many");
  float at[kChannels];
};

/// What a lane moves at once.
template <class Element, int kCount>
struct alignas(kCount * sizeof(Element)) Pack {
  Element at[kCount];
};

/// This lane's part of the row at `row`, which is float or Bf16.
template <int kHeadSize, class Element>
__device__ __forceinline__ HeadRow<kHeadSize> load_row(const Element* row) {
  using Row = HeadRow<kHeadSize>;
  using Packed = Pack<Element, Row::kChannels>;
  const Packed packed = reinterpret_cast<const Packed*>(row)[thread_index() % kWarpLanes];
  Row wide;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) wide.at[i] = to_float(packed.at[i]);
  return wide;
}

template <int kHeadSize, class Element>
__device__ __forceinline__ void store_row(Element* row, const HeadRow<kHeadSize>& wide) {
  using Packed = Pack<Element, HeadRow<kHeadSize>::kChannels>;
  Packed packed;
#pragma unroll
  for (int i = 0; i < HeadRow<kHeadSize>::kChannels; ++i) packed.at[i] = from_float<Element>(wide.at[i]);
  reinterpret_cast<Packed*>(row)[thread_index() % kWarpLanes] = packed;
}

/// The sum of term(i) over this lane's channels i and over the lanes; every lane gets it.
template <int kHeadSize, class Term>
__device__ __forceinline__ float head_sum(const Term& term) {
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < HeadRow<kHeadSize>::kChannels; ++i) sum += term(i);
  return warp_sum(sum);
}

/// Adds each of `rows` over the warps of the block, in their order, and writes the sums to `to`,
/// `stride` floats apart. All threads of the block take part; it has kWarps * kRows * kHeadSize floats of
/// shared memory.
template <int kWarps, int kHeadSize, int kRows>
__device__ __forceinline__ void store_block_sums(const HeadRow<kHeadSize> (&rows)[kRows], float* to,
                                                 std::int64_t stride) {
  auto* shared = static_cast<float*>(shared_memory());
  const int warp = thread_index() / kWarpLanes;
#pragma unroll
  for (int r = 0; r < kRows; ++r) store_row<kHeadSize>(shared + (warp * kRows + r) * kHeadSize, rows[r]);
  block_barrier();
  for (int i = thread_index(); i < kRows * kHeadSize; i += kWarps * kWarpLanes) {
    float sum = shared[i];
#pragma unroll
    for (int other = 1; other < kWarps; ++other) sum += shared[other * kRows * kHeadSize + i];
    to[i / kHeadSize * stride + i % kHeadSize] = sum;
  }
}

}  // namespace vrwkv::kernels::device
