// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include "kernels/time_mix_operands/time_mix_operands_backend.h"
#include "kernels/time_mix_operands/time_mix_operands_cpu_tile.h"

#if !defined(_OPENMP)
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace vrwkv::kernels::cpu {
namespace {

template <class Run>
void for_each_tile(std::int64_t tokens, const Run& run) {
  at::parallel_for(0, time_mix_operands_tiles(tokens), /*grain_size=*/1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t tile = begin; tile < end; ++tile) run(tile);
                   });
}

}  // namespace

template <class Element>
void time_mix_operands_forward(const TimeMixOperandsInputs<Element>& inputs,
                               const TimeMixOperandsOutputs<Element>& outputs) {
  static const auto run_tile = VRWKV_WIDEST(time_mix_operands_forward_tile<Element>);
  for_each_tile(inputs.tokens, [&](std::int64_t tile) { run_tile(inputs, outputs, tile); });
}

template <class Element>
void time_mix_operands_backward(const TimeMixOperandsInputs<Element>& inputs,
                                const TimeMixOperandsOutputGradients<Element>& output_gradients,
                                const TimeMixOperandsInputGradients<Element>& input_gradients) {
  static const auto run_tile = VRWKV_WIDEST(time_mix_operands_backward_tile<Element>);
  for_each_tile(inputs.tokens,
                [&](std::int64_t tile) { run_tile(inputs, output_gradients, input_gradients, tile); });
}

#define VRWKV_INSTANTIATE(Element)                                                         \
  template void time_mix_operands_forward(const TimeMixOperandsInputs<Element>&,           \
                                          const TimeMixOperandsOutputs<Element>&);         \
  template void time_mix_operands_backward(const TimeMixOperandsInputs<Element>&,          \
                                           const TimeMixOperandsOutputGradients<Element>&, \
                                           const TimeMixOperandsInputGradients<Element>&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu
