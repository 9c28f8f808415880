// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/sam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "trainer/model/vit_block.h"

namespace vrwkv::model {
namespace {

/// Meta starts the relative positions at zero; a little noise lets random encoders exercise them.
constexpr double kRelativeDeviation = 0.1;

double keeps_variance(std::int64_t fan_in) { return 1 / std::sqrt(static_cast<double>(fan_in)); }

std::int64_t extent_of(const SamConfig& config, std::int64_t window) {
  return window > 0 ? window : config.patches_per_side();
}

/// (extent, extent, head width): row i, column j holds the table's entry for the offset i - j.
at::Tensor by_offset(const at::Tensor& table) {
  const std::int64_t extent = (table.size(0) + 1) / 2;
  const at::Tensor place = at::arange(extent, table.options().dtype(at::kLong));
  return table.index({place.unsqueeze(1) - place.unsqueeze(0) + (extent - 1)});
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
      window_(window),
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
  const at::Tensor normed = norm1_(x);
  const at::Tensor attended = x + (window_ > 0 ? windowed_attention(normed) : attention(normed));
  return attended + lin2_(at::gelu(lin1_(norm2_(attended))));
}

/// The logits of query (y, x) and key (y', x') are q.k / sqrt(d) + q.Rh[y - y'] + q.Rw[x - x'], with the
/// unscaled q in the position terms. These depend on the key through its row or column alone, so they fold
/// into one dot product: q' = [q / sqrt(d), q.Rh for each row, q.Rw for each column], k' = [k, one-hot row,
/// one-hot column]. No bias over all pairs is ever held. Values are padded with zeros, because the fused
/// kernel wants one width for all.
at::Tensor SamBlock::attention(const at::Tensor& x) const {
  const std::int64_t images = x.size(0);
  const std::int64_t side = x.size(1);
  const std::int64_t places = side * side;
  const std::int64_t head_width = x.size(3) / heads_;
  const at::Tensor qkv = qkv_(x).view({images, places, 3, heads_, head_width}).permute({2, 0, 3, 1, 4});
  const at::Tensor q_map = qkv[0].reshape({images, heads_, side, side, head_width});
  const at::Tensor row_terms = at::einsum("inyxc,ykc->inyxk", {q_map, by_offset(rel_pos_h_)}).flatten(2, 3);
  const at::Tensor column_terms =
      at::einsum("inyxc,xkc->inyxk", {q_map, by_offset(rel_pos_w_)}).flatten(2, 3);
  const at::Tensor unit = at::eye(side, x.options());
  const at::Tensor key_rows = unit.repeat_interleave(side, 0).expand({images, heads_, places, side});
  const at::Tensor key_columns = unit.repeat({side, 1}).expand({images, heads_, places, side});
  const double scale = 1 / std::sqrt(static_cast<double>(head_width));
  const at::Tensor y = at::scaled_dot_product_attention(
      at::cat({qkv[0] * scale, row_terms, column_terms}, -1), at::cat({qkv[1], key_rows, key_columns}, -1),
      at::constant_pad_nd(qkv[2], {0, 2 * side}), /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/false,
      /*scale=*/1.0);
  return proj_(y.narrow(-1, 0, head_width).transpose(1, 2).reshape(x.sizes()));
}

at::Tensor SamBlock::windowed_attention(const at::Tensor& x) const {
  const std::int64_t images = x.size(0);
  const std::int64_t side = x.size(1);
  const std::int64_t width = x.size(3);
  const std::int64_t count = (side + window_ - 1) / window_;
  const std::int64_t padding = count * window_ - side;
  const at::Tensor windows = at::constant_pad_nd(x, {0, 0, 0, padding, 0, padding})
                                 .view({images, count, window_, count, window_, width})
                                 .transpose(2, 3)
                                 .reshape({images * count * count, window_, window_, width});
  return attention(windows)
      .view({images, count, count, window_, window_, width})
      .transpose(2, 3)
      .reshape({images, count * window_, count * window_, width})
      .narrow(1, 0, side)
      .narrow(2, 0, side);
}

Sam::Sam(const SamConfig& config, const ParameterFactory& parameters)
    : VisionEncoder({.image_size = config.image_size,
                     .patches = config.patches_per_side() * config.patches_per_side(),
                     .grid = config.grid(),
                     .feature_width = config.feature_width()},
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
  at::Tensor x = patch_embed_(images) + pos_embed_;
  for (const SamBlock& block : blocks_) x = block(x);
  // Channels stay last for the norms; the 3 x 3 convolution and the folding want them second.
  x = neck_norm1_(at::linear(x, neck_reduce_.flatten(1)));
  x = at::conv2d(x.permute({0, 3, 1, 2}), neck_mix_, {}, /*stride=*/1, /*padding=*/1);
  x = neck_norm2_(x.permute({0, 2, 3, 1}));
  return at::pixel_unshuffle(x.permute({0, 3, 1, 2}), 2).flatten(2).transpose(1, 2);
}

}  // namespace vrwkv::model
