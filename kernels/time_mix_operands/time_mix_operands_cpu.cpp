// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/for_each_token_range.h"
#include "kernels/time_mix_operands/time_mix_operands_backend.h"
#include "kernels/time_mix_operands/time_mix_operands_cpu_range.h"

namespace vrwkv::kernels::cpu {

template <class Element>
void time_mix_operands_forward(const TimeMixOperandsInputs<Element>& inputs,
                               const TimeMixOperandsOutputs<Element>& outputs) {
  static const auto run = VRWKV_WIDEST(time_mix_operands_forward_range<Element>);
  for_each_token_range(inputs.tokens, [&](const TokenRange& range) { run(inputs, outputs, range); });
}

template <class Element>
void time_mix_operands_backward(const TimeMixOperandsInputs<Element>& inputs,
                                const TimeMixOperandsOutputGradients<Element>& output_gradients,
                                const TimeMixOperandsInputGradients<Element>& input_gradients) {
  static const auto run = VRWKV_WIDEST(time_mix_operands_backward_range<Element>);
  for_each_token_range(
      inputs.tokens, [&](const TokenRange& range) { run(inputs, output_gradients, input_gradients, range); });
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
