// SPDX-License-Identifier: Apache-2.0
// What adamw.cpp asks of a device, and the arithmetic of one element, which a CPU and a GPU share. Plain
// pointers: neither LibTorch nor CUDA is seen here. Whoever includes this compiles without fused
// multiply-add.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/instruction_set.h"
#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// The scalars of one update, computed in fp64 and rounded once.
struct AdamwFactors {
  float gradient_scale;
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float inverse_correction1;
  float inverse_correction2;
  float epsilon;
  float learning_rate;
  float weight_decay;
};

/// How the parameters go out in bf16.
enum class Bf16Rounding { kNotAtAll, kNearest, kStochastic };

/// One update of `count` elements; the equation is at adamw_update() in adamw.h.
struct AdamwCall {
  AdamwFactors factors;
  std::int64_t count;
  const float* gradients;
  float* masters;
  float* averages;
  float* squares;
  Bf16* parameters;            // null where there is nothing to write
  std::uint32_t key[2];        // of the chances
  std::int64_t first_element;  // whose chance is element 0's
};

/// Updates one element; returns the new master.
VRWKV_HOST_DEVICE float update_element(const AdamwFactors& f, float gradient, float master, float& average,
                                       float& square) {
  const float g = f.gradient_scale * gradient;
  average = f.beta1 * average + f.one_minus_beta1 * g;
  square = f.beta2 * square + f.one_minus_beta2 * (g * g);
  const float denominator = sqrtf(square * f.inverse_correction2) + f.epsilon;
  const float direction = average * f.inverse_correction1 / denominator;
  return master - f.learning_rate * (direction + f.weight_decay * master);
}

/// MurmurHash3's finalizer (Appleby 2011): a bijection that spreads every input bit.
VRWKV_HOST_DEVICE std::uint32_t mix32(std::uint32_t x) {
  x = (x ^ (x >> 16U)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13U)) * 0xC2B2AE35U;
  return x ^ (x >> 16U);
}

/// 32 random bits for an element, given as its two halves.
VRWKV_HOST_DEVICE std::uint32_t element_bits(const std::uint32_t (&key)[2], std::uint32_t low,
                                             std::uint32_t high) {
  return mix32(mix32(low ^ key[0]) ^ high ^ key[1]);
}

/// Away from zero with the probability that the dropped half of the bits says. Infinity and NaN stay.
VRWKV_HOST_DEVICE Bf16 to_bf16_by_chance(float value, std::uint32_t random) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t size = bits & 0x7FFFFFFFU, infinity = 0x7F800000U;
  const std::uint32_t added = size < infinity ? random & 0xFFFFU : 0U;
  const std::uint32_t rounded = size > infinity ? 0x7FFFU : (bits + added) >> 16U;  // NaN as in to_bf16()
  return Bf16{static_cast<std::uint16_t>(rounded)};
}

namespace cpu {
void adamw(const AdamwCall& call, Bf16Rounding rounding);
/// The same of the elements [begin, end).
VRWKV_FOR_EACH_INSTRUCTION_SET(void adamw_range(const AdamwCall& call, Bf16Rounding rounding,
                                                std::int64_t begin, std::int64_t end);)
}  // namespace cpu

/// Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
void adamw(const AdamwCall& call, Bf16Rounding rounding, void* stream);
}

}  // namespace vrwkv::kernels
