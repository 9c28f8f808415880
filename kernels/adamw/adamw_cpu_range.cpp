// SPDX-License-Identifier: Apache-2.0
// Vectorised by the compiler. CMakeLists.txt allows no fused operations here, so an element's bits depend
// neither on the instruction set nor on whether it falls into a vector or into the rest.
#include "kernels/adamw/adamw_backend.h"
#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

constexpr std::int64_t kAtOnce = 4096;  // elements whose masters are still in the cache when they are rounded

void update(const AdamwCall& call, std::int64_t begin, std::int64_t count) {
  const AdamwFactors f = call.factors;
  const float* __restrict gradients = call.gradients + begin;
  float* __restrict masters = call.masters + begin;
  float* __restrict averages = call.averages + begin;
  float* __restrict squares = call.squares + begin;
  for (std::int64_t i = 0; i < count; ++i)
    masters[i] = update_element(f, gradients[i], masters[i], averages[i], squares[i]);
}

void round_to_nearest(const float* __restrict masters, std::int64_t count, Bf16* __restrict parameters) {
  for (std::int64_t i = 0; i < count; ++i) parameters[i] = to_bf16(masters[i]);
}

/// Element i is number `first` + i of the model.
void round_by_chance(const float* __restrict masters, std::int64_t count, Bf16* __restrict parameters,
                     const std::uint32_t (&key)[2], std::uint64_t first) {
  const auto low = static_cast<std::uint32_t>(first), high = static_cast<std::uint32_t>(first >> 32U);
  const std::uint32_t keys[2] = {key[0], key[1]};
  for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i) {
    const std::uint32_t number = low + i;
    const std::uint32_t carry = number < low ? 1U : 0U;
    parameters[i] = to_bf16_by_chance(masters[i], element_bits(keys, number, high + carry));
  }
}

}  // namespace

void adamw_range(const AdamwCall& call, Bf16Rounding rounding, std::int64_t begin, std::int64_t end) {
  for (; begin < end; begin += kAtOnce) {
    const std::int64_t count = end - begin < kAtOnce ? end - begin : kAtOnce;
    update(call, begin, count);
    if (rounding == Bf16Rounding::kNearest)
      round_to_nearest(call.masters + begin, count, call.parameters + begin);
    if (rounding == Bf16Rounding::kStochastic) {
      round_by_chance(call.masters + begin, count, call.parameters + begin, call.key,
                      static_cast<std::uint64_t>(call.first_element + begin));
    }
  }
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
