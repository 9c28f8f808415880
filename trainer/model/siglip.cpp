// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/siglip.h"

#include <ATen/ATen.h>

namespace vrwkv::model {

Siglip::Siglip(const SiglipConfig& config, const ParameterFactory& parameters)
    : VisionEncoder({.image_size = config.image_size,
                     .patches = config.grid() * config.grid(),
                     .grid = config.grid(),
                     .feature_width = config.feature_width()},
                    kHalfPixels),
      pos_embed_(parameters.normal("pos_embed", {1, grid() * grid(), config.width}, kTokenDeviation)),
      patch_embed_(parameters, config.patch_size, config.width) {
  for (std::int64_t i = 0; i < config.depth - 1; ++i)
    blocks_.emplace_back(parameters.block(i), VitBlock::Sizes{config.width, config.heads, config.mlp_hidden,
                                                              /*layer_scale=*/false});
}

at::Tensor Siglip::forward(const at::Tensor& images) const {
  at::Tensor x = patch_embed_(images).flatten(1, 2) + pos_embed_;
  for (const VitBlock& block : blocks_) x = block(x);
  return x;
}

}  // namespace vrwkv::model
