// SPDX-License-Identifier: Apache-2.0
// Vectorised by the compiler. CMakeLists.txt allows no fused operations here, so an element's bits depend
// neither on the instruction set nor on whether it falls into a vector or into the rest.
#include "kernels/adamw/adamw_backend.h"
#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// `count` elements from `begin`. Few enough that 32 bits hold their numbers.
template <Bf16Rounding kRounding>
void update(const AdamwCall& call, std::int64_t begin, std::uint32_t count) {
  const AdamwFactors f = call.factors;
  const float* __restrict gradients = call.gradients + begin;
  float* __restrict masters = call.masters + begin;
  float* __restrict averages = call.averages + begin;
  float* __restrict squares = call.squares + begin;
  Bf16* __restrict parameters = kRounding == Bf16Rounding::kNotAtAll ? nullptr : call.parameters + begin;
  const auto first = static_cast<std::uint64_t>(call.first_element + begin);
  const auto first_low = static_cast<std::uint32_t>(first),
             first_high = static_cast<std::uint32_t>(first >> 32U);
  const std::uint32_t key[2] = {call.key[0], call.key[1]};
  for (std::uint32_t i = 0; i < count; ++i) {
    const float master = update_element(f, gradients[i], masters[i], averages[i], squares[i]);
    masters[i] = master;
    if constexpr (kRounding == Bf16Rounding::kNearest) parameters[i] = to_bf16(master);
    if constexpr (kRounding == Bf16Rounding::kStochastic) {
      const std::uint32_t low = first_low + i, high = first_high + (low < first_low ? 1U : 0U);
      parameters[i] = to_bf16_by_chance(master, element_bits(key, low, high));
    }
  }
}

}  // namespace

void adamw_range(const AdamwCall& call, Bf16Rounding rounding, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kAtOnce = std::int64_t{1} << 20;
  for (; begin < end; begin += kAtOnce) {
    const auto count = static_cast<std::uint32_t>(end - begin < kAtOnce ? end - begin : kAtOnce);
    switch (rounding) {
      case Bf16Rounding::kNotAtAll:
        update<Bf16Rounding::kNotAtAll>(call, begin, count);
        break;
      case Bf16Rounding::kNearest:
        update<Bf16Rounding::kNearest>(call, begin, count);
        break;
      case Bf16Rounding::kStochastic:
        update<Bf16Rounding::kStochastic>(call, begin, count);
        break;
    }
  }
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
