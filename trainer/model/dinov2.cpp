// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/dinov2.h"

#include <ATen/ATen.h>

namespace vrwkv::model {
namespace {

at::Tensor register_tokens(const ParameterFactory& parameters, const DinoV2Config& config) {
  if (config.registers == 0) return {};
  return parameters.normal("reg_token", {1, config.registers, config.width}, kTokenDeviation);
}

}  // namespace

DinoV2::DinoV2(const DinoV2Config& config, const ParameterFactory& parameters)
    : VisionEncoder(
          {.image_size = config.image_size, .grid = config.grid(), .feature_width = config.feature_width()},
          kImageNetPixels),
      cls_token_(parameters.normal("cls_token", {1, 1, config.width}, kTokenDeviation)),
      reg_token_(register_tokens(parameters, config)),
      pos_embed_(parameters.normal("pos_embed", {1, grid() * grid(), config.width}, kTokenDeviation)),
      patch_embed_(parameters, config.patch_size, config.width) {
  const VitBlock::Sizes sizes{config.width, config.heads, config.mlp_hidden, /*layer_scale=*/true};
  for (std::int64_t i = 0; i < config.depth - 1; ++i) blocks_.emplace_back(parameters.block(i), sizes);
  list_unused_end(parameters, config.depth - 1, sizes);
}

at::Tensor DinoV2::forward(const at::Tensor& images) const {
  const at::Tensor patches = patch_embed_(images).flatten(1, 2) + typed_as(pos_embed_, images);
  const std::int64_t count = images.size(0);
  std::vector<at::Tensor> tokens = {typed_as(cls_token_, images).expand({count, -1, -1})};
  if (reg_token_.defined()) tokens.push_back(typed_as(reg_token_, images).expand({count, -1, -1}));
  tokens.push_back(patches);
  at::Tensor x = at::cat(tokens, 1);
  for (const VitBlock& block : blocks_) x = block(x);
  return x.narrow(1, x.size(1) - patches.size(1), patches.size(1));
}

}  // namespace vrwkv::model
