// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/siglip.h"

#include <ATen/ATen.h>

namespace vrwkv::model {
namespace {

/// timm's attention pooling over the tokens.
void list_unused_pooling(const ParameterFactory& parameters, const SiglipConfig& config) {
  parameters.normal("latent", {1, 1, config.width}, kTokenDeviation);
  VitLinear(parameters, "q", config.width, config.width);
  VitLinear(parameters, "kv", config.width, 2 * config.width);
  VitLinear(parameters, "proj", config.width, config.width);
  VitNorm(parameters, "norm", config.width, kVitEpsilon);
  VitLinear(parameters, "mlp.fc1", config.width, config.mlp_hidden);
  VitLinear(parameters, "mlp.fc2", config.mlp_hidden, config.width);
}

}  // namespace

Siglip::Siglip(const SiglipConfig& config, const ParameterFactory& parameters)
    : VisionEncoder(
          {.image_size = config.image_size, .grid = config.grid(), .feature_width = config.feature_width()},
          kHalfPixels),
      pos_embed_(parameters.normal("pos_embed", {1, grid() * grid(), config.width}, kTokenDeviation)),
      patch_embed_(parameters, config.patch_size, config.width) {
  const VitBlock::Sizes sizes{config.width, config.heads, config.mlp_hidden, /*layer_scale=*/false};
  for (std::int64_t i = 0; i < config.depth - 1; ++i) blocks_.emplace_back(parameters.block(i), sizes);
  list_unused_end(parameters, config.depth - 1, sizes);
  list_unused_pooling(parameters.below("attn_pool."), config);
}

at::Tensor Siglip::forward(const at::Tensor& images) const {
  at::Tensor x = patch_embed_(images).flatten(1, 2) + typed_as(pos_embed_, images);
  for (const VitBlock& block : blocks_) x = block(x);
  return x;
}

}  // namespace vrwkv::model
