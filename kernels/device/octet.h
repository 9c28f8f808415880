// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/bf16.h"
#include "kernels/device/device.h"

namespace vrwkv::kernels::device {

/// Eight neighbouring channels in fp32: 16 bytes of bf16 in memory, or twice as many of fp32.
struct Octet {
  static constexpr int kChannels = 8;
  float at[kChannels];
};

/// From a 16-byte boundary.
__device__ __forceinline__ Octet load_octet(const float* from) {
  const Float4 low = load_16<Float4>(from), high = load_16<Float4>(from + 4);
  return {{low.at[0], low.at[1], low.at[2], low.at[3], high.at[0], high.at[1], high.at[2], high.at[3]}};
}

__device__ __forceinline__ Octet load_octet(const Bf16* from) {
  const Word4 words = load_16<Word4>(from);
  Octet octet;
#pragma unroll
  for (int i = 0; i < 4; ++i) unpack_bf16(words.at[i], octet.at[2 * i], octet.at[2 * i + 1]);
  return octet;
}

__device__ __forceinline__ void store_octet(float* to, const Octet& octet) {
  store_16(to, Float4{{octet.at[0], octet.at[1], octet.at[2], octet.at[3]}});
  store_16(to + 4, Float4{{octet.at[4], octet.at[5], octet.at[6], octet.at[7]}});
}

__device__ __forceinline__ void store_octet(Bf16* to, const Octet& octet) {
  Word4 words;
#pragma unroll
  for (int i = 0; i < 4; ++i) words.at[i] = pack_bf16(octet.at[2 * i], octet.at[2 * i + 1]);
  store_16(to, words);
}

/// {term(0), ..., term(7)}
template <class Term>
__device__ __forceinline__ Octet octet_of(const Term& term) {
  Octet octet;
#pragma unroll
  for (int i = 0; i < Octet::kChannels; ++i) octet.at[i] = term(i);
  return octet;
}

}  // namespace vrwkv::kernels::device
