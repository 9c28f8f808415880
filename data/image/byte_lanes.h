// SPDX-License-Identifier: Apache-2.0
// The few vector operations of the resize, for the instruction set that the including file is compiled for
// (see common/instruction_set.h). Interleaving and packing keep to groups of 16 bytes, as x86 does; pack()
// undoes the order that two levels of interleaving made.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace vrwkv::data::VRWKV_INSTRUCTION_SET {

#if defined(__AVX512BW__)
inline constexpr int kLaneBytes = 64;
#define VRWKV_X86(operation) _mm512_##operation
#define VRWKV_X86_LANES(value) reinterpret_cast<__m512i>(value)
#elif defined(__AVX2__)
inline constexpr int kLaneBytes = 32;
#define VRWKV_X86(operation) _mm256_##operation
#define VRWKV_X86_LANES(value) reinterpret_cast<__m256i>(value)
#else
inline constexpr int kLaneBytes = 16;
#define VRWKV_X86(operation) _mm_##operation
#define VRWKV_X86_LANES(value) reinterpret_cast<__m128i>(value)
#endif

typedef std::uint8_t Bytes __attribute__((vector_size(kLaneBytes)));
typedef std::int16_t Shorts __attribute__((vector_size(kLaneBytes)));
typedef std::int32_t Ints __attribute__((vector_size(kLaneBytes)));
typedef std::uint32_t UnsignedInts __attribute__((vector_size(kLaneBytes)));

[[gnu::always_inline]] inline Bytes load(const std::uint8_t* from) {
  Bytes x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}
[[gnu::always_inline]] inline void store(std::uint8_t* to, Bytes x) { __builtin_memcpy(to, &x, sizeof x); }

#if defined(__SSE2__)

/// The first 8 bytes of each group: a0 b0 a1 b1 ...
[[gnu::always_inline]] inline Bytes interleave_low(Bytes a, Bytes b) {
  return reinterpret_cast<Bytes>(VRWKV_X86(unpacklo_epi8)(VRWKV_X86_LANES(a), VRWKV_X86_LANES(b)));
}
/// And the last 8.
[[gnu::always_inline]] inline Bytes interleave_high(Bytes a, Bytes b) {
  return reinterpret_cast<Bytes>(VRWKV_X86(unpackhi_epi8)(VRWKV_X86_LANES(a), VRWKV_X86_LANES(b)));
}
/// a0 b0 + a1 b1, a2 b2 + a3 b3, ...
[[gnu::always_inline]] inline Ints pair_products(Shorts a, Shorts b) {
  return reinterpret_cast<Ints>(VRWKV_X86(madd_epi16)(VRWKV_X86_LANES(a), VRWKV_X86_LANES(b)));
}
/// Clamps to bytes.
[[gnu::always_inline]] inline Bytes pack(Ints a, Ints b, Ints c, Ints d) {
  return reinterpret_cast<Bytes>(
      VRWKV_X86(packus_epi16)(VRWKV_X86(packs_epi32)(VRWKV_X86_LANES(a), VRWKV_X86_LANES(b)),
                              VRWKV_X86(packs_epi32)(VRWKV_X86_LANES(c), VRWKV_X86_LANES(d))));
}

#else  // any other processor

[[gnu::always_inline]] inline Bytes interleave_low(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
[[gnu::always_inline]] inline Bytes interleave_high(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
[[gnu::always_inline]] inline Ints pair_products(Shorts a, Shorts b) {
  Ints sums{};
  for (int i = 0; i < 4; ++i) sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sums;
}
[[gnu::always_inline]] inline Bytes pack(Ints a, Ints b, Ints c, Ints d) {
  const Ints all[4] = {a, b, c, d};
  Bytes bytes{};
  for (int i = 0; i < 16; ++i) {
    const std::int32_t value = all[i / 4][i % 4];
    bytes[i] = static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  }
  return bytes;
}

#endif

#undef VRWKV_X86
#undef VRWKV_X86_LANES

}  // namespace vrwkv::data::VRWKV_INSTRUCTION_SET
