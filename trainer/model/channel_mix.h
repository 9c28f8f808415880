// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model/layers.h"
#include "trainer/model/model_config.h"
#include "trainer/model/parameter_factory.h"
#include "trainer/model/rwkv_state.h"

namespace vrwkv::model {

/// RWKV-7's channel mix and the sum around it:  x + W_value relu(W_key (n + (shift(n) - n) x_k))^2 with
/// n = norm(x), 4 C wide inside.
class ChannelMix {
 public:
  ChannelMix(const LanguageModelConfig& config, std::int64_t layer, const ParameterFactory& parameters);
  /// @param x      (1, T, C), before `norm`.
  /// @param state  null, or read (ffn_shift) and replaced.
  at::Tensor operator()(const at::Tensor& x, const LayerNorm& norm, const at::Tensor& sequence_starts,
                        LayerState* state) const;

 private:
  at::Tensor x_k_;    // (1, 1, C)
  at::Tensor key_;    // (4 C, C)
  at::Tensor value_;  // (C, 4 C)
};

}  // namespace vrwkv::model
