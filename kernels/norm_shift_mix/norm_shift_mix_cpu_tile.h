// SPDX-License-Identifier: Apache-2.0
// A tile of tokens is one task: tiles share nothing, so threads may take them in any order. Each instruction
// set has its own compilation of them.
#pragma once

#include <cstdint>

#include "kernels/cpu/instruction_set.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"

namespace vrwkv::kernels::cpu {

/// Rows of `channels` floats of scratch memory that one tile needs; they need not be initialised.
inline constexpr std::int64_t kNormShiftMixForwardRows = 2;
inline constexpr std::int64_t kNormShiftMixBackwardRows = 5;

/// `sums` are the tile's rows of NormShiftMixGradients::tile_sums.
// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void norm_shift_mix_forward_tile(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                                   const NormShiftMixOutputs<Element>& outputs, const TokenTile& tile,
                                   float* scratch);
  template <class Element>
  void norm_shift_mix_backward_tile(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                                    const NormShiftMixGradients<Element>& gradients, const TokenTile& tile,
                                    float* sums, float* scratch);
)
// clang-format on

}  // namespace vrwkv::kernels::cpu
