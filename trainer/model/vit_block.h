// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "trainer/model/layers.h"
#include "trainer/model/parameter_factory.h"

namespace vrwkv::model {

/// LayerNorm's epsilon in all three encoders.
inline constexpr double kVitEpsilon = 1e-6;
/// Random position embeddings and prefix tokens are about as large as random patches, so that both are seen.
inline constexpr double kTokenDeviation = 0.7;

/// The pre-norm transformer block of DINOv2 and SigLIP, as timm has it:
/// x += ls1 * proj(attention(norm1 x));  x += ls2 * fc2(gelu(fc1(norm2 x))), with the exact (erf) GELU.
class VitBlock {
 public:
  struct Sizes {
    std::int64_t width;
    std::int64_t heads;
    std::int64_t mlp_hidden;
    bool layer_scale;  ///< without it ls1 and ls2 are 1 and no parameters
  };
  VitBlock(const ParameterFactory& parameters, const Sizes& sizes);
  /// (I, tokens, width) -> the same.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor attention(const at::Tensor& x) const;

  std::int64_t heads_;
  VitNorm norm1_;
  VitLinear qkv_;
  VitLinear proj_;
  at::Tensor ls1_;
  VitNorm norm2_;
  VitLinear fc1_;
  VitLinear fc2_;
  at::Tensor ls2_;
};

/// Lists a tower's last block and its final norm among the parameters, without keeping what computes them.
void list_unused_end(const ParameterFactory& parameters, std::int64_t block, const VitBlock::Sizes& sizes);

}  // namespace vrwkv::model
