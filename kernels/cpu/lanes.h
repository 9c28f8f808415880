// SPDX-License-Identifier: Apache-2.0
// The few vector operations of the CPU kernels, over GCC's vector extensions. What includes this is compiled
// once for each instruction set (see common/instruction_set.h), into a namespace of its own, so that no two
// objects hold one function compiled differently. For the same reason nothing here calls a function of the
// standard library.
#pragma once

#include <cstdint>
#include <utility>

#include "common/instruction_set.h"
#include "kernels/bf16.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
typedef float Float __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::int32_t Int __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
typedef std::uint32_t Bits __attribute__((vector_size(kLanes * sizeof(std::uint32_t))));
typedef std::uint16_t HalfBits __attribute__((vector_size(kLanes * sizeof(std::uint16_t))));

[[gnu::always_inline]] inline Float load(const float* from) {
  Float value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

[[gnu::always_inline]] inline void store(float* to, Float value) {
  __builtin_memcpy(to, &value, sizeof value);
}

[[gnu::always_inline]] inline Float widened(HalfBits upper) {
  return reinterpret_cast<Float>(__builtin_convertvector(upper, Bits) << 16);
}

[[gnu::always_inline]] inline Float load(const Bf16* from) {
  HalfBits upper;
  __builtin_memcpy(&upper, from, sizeof upper);
  return widened(upper);
}

/// Rounds as to_bf16() does.
[[gnu::always_inline]] inline HalfBits upper_halves(Float value) {
  const Bits bits = reinterpret_cast<Bits>(value);
  const Bits rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const Bits not_a_number = Bits{} + 0x7FFF;
  return __builtin_convertvector(value == value ? rounded : not_a_number, HalfBits);
}

[[gnu::always_inline]] inline void store(Bf16* to, Float value) {
  const HalfBits upper = upper_halves(value);
  __builtin_memcpy(to, &upper, sizeof upper);
}

/// What is loaded again after `value` was stored as an Element.
template <class Element>
[[gnu::always_inline]] inline Float rounded(Float value) {
  if constexpr (sizeof(Element) == sizeof(float)) {
    return value;
  } else {
    return widened(upper_halves(value));
  }
}

[[gnu::always_inline]] inline void add(float* to, Float value) { store(to, load(to) + value); }

/// Stores past the caches, for what is not read soon: no line is fetched only to be overwritten. `to` is
/// aligned to what is stored, and whoever calls it writes whole lines and calls stream_end() at last.
[[gnu::always_inline]] inline void stream(float* to, Float value) {
#if defined(__AVX512F__)
  __builtin_ia32_movntps512(to, value);
#elif defined(__AVX2__)
  __builtin_ia32_movntps256(to, value);
#elif defined(__SSE2__)
  __builtin_ia32_movntps(to, value);
#else
  store(to, value);
#endif
}

[[gnu::always_inline]] inline void stream(Bf16* to, Float value) {
#if defined(__AVX512F__)
  typedef long long Pieces __attribute__((vector_size(32)));
  __builtin_ia32_movntdq256(reinterpret_cast<Pieces*>(to), reinterpret_cast<Pieces>(upper_halves(value)));
#elif defined(__AVX2__)
  typedef long long Pieces __attribute__((vector_size(16)));
  __builtin_ia32_movntdq(reinterpret_cast<Pieces*>(to), reinterpret_cast<Pieces>(upper_halves(value)));
#else
  store(to, value);
#endif
}

/// Other threads see what was streamed.
[[gnu::always_inline]] inline void stream_end() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

/// Subtracting zero changes no value, so the compiler leaves a plain broadcast; adding zero would change -0.
[[gnu::always_inline]] inline Float broadcast(float value) { return value - Float{}; }

/// e^x within two units in the last place; 0 below the normal numbers, 2.2e38 above x = 88.3; NaN stays NaN.
[[gnu::always_inline]] inline Float exp(Float x) {
  constexpr float kLowest = -87.3F, kHighest = 88.3F;
  constexpr float kLog2E = 1.44269504F, kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
  constexpr float kRoundToInteger = 12582912.0F;  // 1.5 * 2^23: a sum with it has no fraction
  const Float clamped = x > kHighest ? broadcast(kHighest) : x;
  const Float power = (clamped * kLog2E + kRoundToInteger) - kRoundToInteger;
  const Float rest = (clamped - power * kLn2High) - power * kLn2Low;
  Float tail = rest * 1.9875691500e-4F + 1.3981999507e-3F;
  tail = tail * rest + 8.3334519073e-3F;
  tail = tail * rest + 4.1665795894e-2F;
  tail = tail * rest + 1.6666665459e-1F;
  tail = tail * rest + 5.0000001201e-1F;
  const Float mantissa = tail * (rest * rest) + rest + 1.0F;
  const Int scale = (__builtin_convertvector(power, Int) + 127) << 23;  // 2^power
  return x < kLowest ? Float{} : mantissa * reinterpret_cast<Float>(scale);
}

/// Of each pair of neighbouring blocks of kStep lanes: the first ones of `a` and `b`, interleaved.
template <int kStep>
[[gnu::always_inline]] inline Float first_blocks(Float a, Float b) {
  return [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
    return __builtin_shuffle(a, b, Int{((kLane & kStep) == 0 ? kLane : kLanes + kLane - kStep)...});
  }
  (std::make_integer_sequence<int, kLanes>{});
}

/// And the second ones.
template <int kStep>
[[gnu::always_inline]] inline Float second_blocks(Float a, Float b) {
  return [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
    return __builtin_shuffle(a, b, Int{((kLane & kStep) == 0 ? kLane + kStep : kLanes + kLane)...});
  }
  (std::make_integer_sequence<int, kLanes>{});
}

template <int kStep>
[[gnu::always_inline]] inline void add_neighbours(Float (&rows)[kLanes]) {
  if constexpr (kStep < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / (2 * kStep); ++i) {
      const Float a = rows[2 * i], b = rows[2 * i + 1];
      rows[i] = first_blocks<kStep>(a, b) + second_blocks<kStep>(a, b);
    }
    add_neighbours<2 * kStep>(rows);
  }
}

template <int kStep>
[[gnu::always_inline]] inline void swap_blocks(Float (&rows)[kLanes]) {
  if constexpr (kStep < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if ((i & kStep) != 0) continue;
      const Float a = rows[i], b = rows[i + kStep];
      rows[i] = first_blocks<kStep>(a, b);
      rows[i + kStep] = second_blocks<kStep>(a, b);
    }
    swap_blocks<2 * kStep>(rows);
  }
}

/// The sum of all lanes.
template <int kStep = kLanes / 2>
[[gnu::always_inline]] inline float lane_sum(Float x) {
  if constexpr (kStep == 0) {
    return x[0];
  } else {
    const Float others = [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
      return __builtin_shuffle(x, Int{(kLane ^ kStep)...});
    }
    (std::make_integer_sequence<int, kLanes>{});
    return lane_sum<kStep / 2>(x + others);
  }
}

/// Lane i of the result is the sum of row i of `from`: kLanes rows of kLanes floats.
[[gnu::always_inline]] inline Float row_sums(const float* from) {
  Float rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = load(from + i * kLanes);
  add_neighbours<1>(rows);
  return rows[0];
}

/// to[j][i] = from[i][j] for one block of kLanes x kLanes, written by write(place, vector); strides in
/// floats.
template <class Write>
[[gnu::always_inline]] inline void transpose(const float* from, std::int64_t from_stride, float* to,
                                             std::int64_t to_stride, const Write& write) {
  Float rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = load(from + i * from_stride);
  swap_blocks<1>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) write(to + i * to_stride, rows[i]);
}
[[gnu::always_inline]] inline void transpose(const float* from, std::int64_t from_stride, float* to,
                                             std::int64_t to_stride) {
  transpose(from, from_stride, to, to_stride, [](float* place, Float x) { store(place, x); });
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
