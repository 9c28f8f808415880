// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vrwkv::kernels {

/// What `w` is, of which the recurrence makes its decay d. Both are the same function of the model's decay
/// logit x, since exp(-softplus(-x) - 1/2) = e^-1/2 sigmoid(x); they differ in where a bf16 `w` is rounded.
enum class DecayInput {
  kPreClamped,  // d = exp(-exp(w)), the model passing w = -softplus(-x) - 1/2; any w gives a d in [0, 1]
  kRaw,         // d = exp(-e^-1/2 sigmoid(w)), the model passing w = x; d is in [0.545, 1]
};

/// e^-1/2
inline constexpr float kRawDecayScale = 0.60653066F;

}  // namespace vrwkv::kernels
