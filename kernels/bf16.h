// SPDX-License-Identifier: Apache-2.0
// bf16 as memory holds it, and its conversions, for code of the CPU and of the GPU alike. A kernel that is a
// template on the type of its activations (float or Bf16) reads with to_float(x) and writes with
// from_float<Value>(x).
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define VRWKV_HOST_DEVICE __host__ __device__ __forceinline__
#else
// Never a function of its own, of which a linker would keep one compilation for all instruction sets.
#define VRWKV_HOST_DEVICE [[gnu::always_inline]] inline
#endif

namespace vrwkv::kernels {

/// The upper half of a float.
struct Bf16 {
  std::uint16_t bits;
};

VRWKV_HOST_DEVICE float to_float(Bf16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16U;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

VRWKV_HOST_DEVICE float to_float(float value) { return value; }

/// Rounds to nearest, ties to even, beyond the largest to infinity. NaN becomes 0x7FFF, as on a GPU.
VRWKV_HOST_DEVICE Bf16 to_bf16(float value) {
#if defined(__CUDA_ARCH__)
  std::uint16_t rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(value));
  return Bf16{rounded};
#else
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return Bf16{0x7FFF};
  return Bf16{static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U)};
#endif
}

template <class Value>
VRWKV_HOST_DEVICE Value from_float(float value);

template <>
VRWKV_HOST_DEVICE float from_float<float>(float value) {
  return value;
}

template <>
VRWKV_HOST_DEVICE Bf16 from_float<Bf16>(float value) {
  return to_bf16(value);
}

}  // namespace vrwkv::kernels
