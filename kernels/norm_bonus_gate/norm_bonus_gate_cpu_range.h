// SPDX-License-Identifier: Apache-2.0
// Ranges of tokens share nothing, so threads may take them in any order.
#pragma once

#include "common/instruction_set.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_backend.h"

namespace vrwkv::kernels::cpu {

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void norm_bonus_gate_forward_range(const NormBonusGateInputs<Element>& in,
                                     const NormBonusGateMoments& moments, Element* out,
                                     const TokenRange& range);
  template <class Element>
  void norm_bonus_gate_backward_range(const NormBonusGateInputs<Element>& in,
                                      const NormBonusGateMoments& moments,
                                      const NormBonusGateGradients<Element>& gradients,
                                      const TokenRange& range);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
