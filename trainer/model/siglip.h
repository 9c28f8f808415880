// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "trainer/model/model_config.h"
#include "trainer/model/vision_encoder.h"
#include "trainer/model/vit_block.h"

namespace vrwkv::model {

/// SigLIP's image tower (timm's vit_*_siglip, exact GELU): tokens after the second-to-last block, without the
/// final norm. The last block, norm and attention pooling of a published file are never computed: they are
/// listed among the parameters, so that what was loaded can be written again whole.
class Siglip final : public VisionEncoder {
 public:
  Siglip(const SiglipConfig& config, const ParameterFactory& parameters);

 private:
  at::Tensor forward(const at::Tensor& images) const override;

  at::Tensor pos_embed_;  // (1, grid * grid, width)
  PatchEmbedding patch_embed_;
  std::vector<VitBlock> blocks_;
};

}  // namespace vrwkv::model
