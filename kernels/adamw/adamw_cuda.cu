// SPDX-License-Identifier: Apache-2.0
// A thread updates four elements that lie a block's width apart: neighbours touch neighbouring memory.
#include <cstdint>

#include "kernels/adamw/adamw_backend.h"
#include "kernels/device/device.h"

namespace vrwkv::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 4;
constexpr int kPerBlock = kThreads * kPerThread;

template <Bf16Rounding kRounding>
__global__ void __launch_bounds__(kThreads) adamw_kernel(const AdamwCall call) {
  const std::int64_t begin =
      static_cast<std::int64_t>(device::block_index()) * kPerBlock + device::thread_index();
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    const std::int64_t i = begin + k * kThreads;
    if (i >= call.count) return;
    float average = call.averages[i], square = call.squares[i];
    const float master = update_element(call.factors, call.gradients[i], call.masters[i], average, square);
    call.averages[i] = average;
    call.squares[i] = square;
    call.masters[i] = master;
    if (kRounding == Bf16Rounding::kNearest) call.parameters[i] = to_bf16(master);
    if (kRounding == Bf16Rounding::kStochastic) {
      const auto element = static_cast<std::uint64_t>(call.first_element + i);
      const std::uint32_t random = element_bits(call.key, static_cast<std::uint32_t>(element),
                                                static_cast<std::uint32_t>(element >> 32U));
      call.parameters[i] = to_bf16_by_chance(master, random);
    }
  }
}

}  // namespace

void adamw(const AdamwCall& call, Bf16Rounding rounding, void* stream) {
  const auto kernel = rounding == Bf16Rounding::kNotAtAll  ? adamw_kernel<Bf16Rounding::kNotAtAll>
                      : rounding == Bf16Rounding::kNearest ? adamw_kernel<Bf16Rounding::kNearest>
                                                           : adamw_kernel<Bf16Rounding::kStochastic>;
  const std::int64_t blocks = (call.count + kPerBlock - 1) / kPerBlock;
  if (blocks > 0) device::launch(kernel, blocks, kThreads, 0, stream, call);
}

}  // namespace vrwkv::kernels::cuda
