// SPDX-License-Identifier: Apache-2.0
// A range of tokens is one task: ranges share nothing, so threads may take them in any order. Each
// instruction set has its own compilation of them.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"

namespace vrwkv::kernels::cpu {

/// Rows of `channels` floats of scratch memory that one range needs; they need not be initialised.
inline constexpr std::int64_t kNormShiftMixForwardRows = 2;
inline constexpr std::int64_t kNormShiftMixBackwardRows = 5;

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void norm_shift_mix_forward_range(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                                   const NormShiftMixOutputs<Element>& outputs, const PackedRange& range,
                                   float* scratch);
  template <class Element>
  void norm_shift_mix_backward_range(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                                    const NormShiftMixGradients<Element>& gradients, const PackedRange& range,
                                    float* scratch);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
