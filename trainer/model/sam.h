// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "trainer/model/layers.h"
#include "trainer/model/model_config.h"
#include "trainer/model/vision_encoder.h"

namespace vrwkv::model {

/// SAM's attention over a square map with decomposed relative positions, either over the whole map or inside
/// windows. x += proj(attention(norm1 x));  x += lin2(gelu(lin1(norm2 x))).
class SamBlock {
 public:
  /// @param window  side of the windows; the map is padded with zeros (after norm1) at its bottom and right.
  /// 0: the
  ///                whole map.
  SamBlock(const ParameterFactory& parameters, const SamConfig& config, std::int64_t window);
  /// (I, side, side, width) -> the same.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor attention(const at::Tensor& x) const;

  std::int64_t heads_;
  VitNorm norm1_;
  VitLinear qkv_;
  VitLinear proj_;
  at::Tensor
      rel_pos_h_;  // (2 * extent - 1, head width) by row offset + extent - 1; extent: window or map side
  at::Tensor rel_pos_w_;  // the same by column offset
  VitNorm norm2_;
  VitLinear lin1_;
  VitLinear lin2_;
};

/// SAM's image encoder with VisualRWKV's lossless down-sampler: the neck's map, 2 x 2 patches folded into the
/// channels (channel = c * 4 + dy * 2 + dx).
class Sam final : public VisionEncoder {
 public:
  Sam(const SamConfig& config, const ParameterFactory& parameters);

 private:
  at::Tensor forward(const at::Tensor& images) const override;

  at::Tensor pos_embed_;  // (1, side, side, width)
  PatchEmbedding patch_embed_;
  std::vector<SamBlock> blocks_;
  at::Tensor neck_reduce_;  // (neck, width, 1, 1)
  VitNorm neck_norm1_;
  at::Tensor neck_mix_;  // (neck, neck, 3, 3)
  VitNorm neck_norm2_;
};

}  // namespace vrwkv::model
