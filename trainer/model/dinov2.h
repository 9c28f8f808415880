// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "trainer/model/model_config.h"
#include "trainer/model/vision_encoder.h"
#include "trainer/model/vit_block.h"

namespace vrwkv::model {

/// DINOv2 with registers (timm's vit_*_reg4_dinov2): patch tokens after the second-to-last block, without the
/// final norm. The last block and the norm of a published file are never computed: they are listed among the
/// parameters, so that what was loaded can be written again whole.
class DinoV2 final : public VisionEncoder {
 public:
  DinoV2(const DinoV2Config& config, const ParameterFactory& parameters);

 private:
  at::Tensor forward(const at::Tensor& images) const override;

  at::Tensor cls_token_;  // (1, 1, width)
  at::Tensor reg_token_;  // (1, registers, width); undefined without registers
  at::Tensor pos_embed_;  // (1, grid * grid, width): patches only
  PatchEmbedding patch_embed_;
  std::vector<VitBlock> blocks_;
};

}  // namespace vrwkv::model
