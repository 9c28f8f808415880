// SPDX-License-Identifier: Apache-2.0
// Ranges of tokens share nothing, so threads may take them in any order.
#pragma once

#include "common/instruction_set.h"
#include "kernels/time_mix_operands/time_mix_operands_backend.h"

namespace vrwkv::kernels::cpu {

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void time_mix_operands_forward_range(const TimeMixOperandsInputs<Element>& in,
                                      const TimeMixOperandsOutputs<Element>& out, const TokenRange& range);
  template <class Element>
  void time_mix_operands_backward_range(const TimeMixOperandsInputs<Element>& in,
                                       const TimeMixOperandsOutputGradients<Element>& gradients_in,
                                       const TimeMixOperandsInputGradients<Element>& gradients_out,
                                       const TokenRange& range);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
