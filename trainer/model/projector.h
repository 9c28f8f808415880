// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "trainer/model/layers.h"
#include "trainer/model/model_config.h"

namespace vrwkv::model {

/// Image features to the language model's width.
/// mlp:    z = ln_v(o_proj (f * sigmoid(gate f)));   linear:  z = weight f.
class Projector {
 public:
  Projector(ProjectorKind kind, std::int64_t feature_width, std::int64_t n_embd,
            const ParameterFactory& parameters);
  /// (.., feature_width) -> (.., n_embd).
  at::Tensor operator()(const at::Tensor& features) const;

 private:
  at::Tensor gate_;  // (feature_width, feature_width); undefined when linear
  at::Tensor out_;   // (n_embd, feature_width)
  std::optional<LayerNorm> norm_;
};

}  // namespace vrwkv::model
