// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/sam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "kernels/attention/map_attention.h"
#include "trainer/model/vit_block.h"

namespace vrwkv::model {
namespace {

/// Meta starts the relative positions at zero; a little noise lets random encoders exercise them.
constexpr double kRelativeDeviation = 0.1;

double keeps_variance(std::int64_t fan_in) { return 1 / std::sqrt(static_cast<double>(fan_in)); }

std::int64_t extent_of(const SamConfig& config, std::int64_t window) {
  return window > 0 ? window : config.patches_per_side();
}

std::vector<SamBlock> make_blocks(const SamConfig& config, const ParameterFactory& parameters) {
  std::vector<SamBlock> blocks;
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const bool global = std::ranges::count(config.global_blocks, i) > 0;
    blocks.emplace_back(parameters.block(i), config, global ? 0 : config.window_size);
  }
  return blocks;
}

}  // namespace

SamBlock::SamBlock(const ParameterFactory& parameters, const SamConfig& config, std::int64_t window)
    : heads_(config.heads),
      norm1_(parameters, "norm1", config.width, kVitEpsilon),
      qkv_(parameters, "attn.qkv", config.width, 3 * config.width),
      proj_(parameters, "attn.proj", config.width, config.width),
      rel_pos_h_(parameters.normal("attn.rel_pos_h",
                                   {2 * extent_of(config, window) - 1, config.width / config.heads},
                                   kRelativeDeviation)),
      rel_pos_w_(parameters.normal("attn.rel_pos_w", rel_pos_h_.sizes(), kRelativeDeviation)),
      norm2_(parameters, "norm2", config.width, kVitEpsilon),
      lin1_(parameters, "mlp.lin1", config.width, config.mlp_hidden),
      lin2_(parameters, "mlp.lin2", config.mlp_hidden, config.width) {}

at::Tensor SamBlock::operator()(const at::Tensor& x) const {
  const at::Tensor attended = x + attention(norm1_(x));
  return attended + lin2_(at::gelu(lin1_(norm2_(attended))));
}

/// Windows beyond the map hold zeros, of which the linear map makes its bias.
at::Tensor SamBlock::attention(const at::Tensor& x) const {
  const std::int64_t head_width = x.size(3) / heads_;
  const at::Tensor qkv = qkv_(x).view({x.size(0), x.size(1), x.size(2), 3, heads_, head_width});
  const at::Tensor y = kernels::map_attention(qkv, typed_as(rel_pos_h_, x), typed_as(rel_pos_w_, x),
                                              typed_as(qkv_.bias(), x).view({3, heads_, head_width}));
  return proj_(y.view(x.sizes()));
}

Sam::Sam(const SamConfig& config, const ParameterFactory& parameters)
    : VisionEncoder(
          {.image_size = config.image_size, .grid = config.grid(), .feature_width = config.feature_width()},
          kImageNetPixels),
      pos_embed_(parameters.normal("pos_embed",
                                   {1, config.patches_per_side(), config.patches_per_side(), config.width},
                                   kTokenDeviation)),
      patch_embed_(parameters, config.patch_size, config.width),
      blocks_(make_blocks(config, parameters)),
      neck_reduce_(parameters.normal("neck.0.weight", {config.neck_width, config.width, 1, 1},
                                     keeps_variance(config.width))),
      neck_norm1_(parameters, "neck.1", config.neck_width, kVitEpsilon),
      neck_mix_(parameters.normal("neck.2.weight", {config.neck_width, config.neck_width, 3, 3},
                                  keeps_variance(9 * config.neck_width))),
      neck_norm2_(parameters, "neck.3", config.neck_width, kVitEpsilon) {}

at::Tensor Sam::forward(const at::Tensor& images) const {
  at::Tensor x = patch_embed_(images) + typed_as(pos_embed_, images);
  for (const SamBlock& block : blocks_) x = block(x);
  // Channels stay last for the norms; the 3 x 3 convolution and the folding want them second.
  x = neck_norm1_(at::linear(x, typed_as(neck_reduce_, x).flatten(1)));
  x = at::conv2d(x.permute({0, 3, 1, 2}), typed_as(neck_mix_, x), {}, /*stride=*/1, /*padding=*/1);
  x = neck_norm2_(x.permute({0, 2, 3, 1}));
  return at::pixel_unshuffle(x.permute({0, 3, 1, 2}), 2).flatten(2).transpose(1, 2);
}

}  // namespace vrwkv::model
