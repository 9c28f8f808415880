// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/toml_reader.h"

namespace vrwkv::model {

/// RWKV-7 ("x070"). Sizes are in channels unless said otherwise.
struct LanguageModelConfig {
  std::int64_t n_layer = 0;
  std::int64_t n_embd = 0;
  std::int64_t head_size = 64;
  std::int64_t vocabulary_size = 65536;
  // Ranks of the low-rank pairs; 0: those of the weights that are loaded, else with_default_ranks.
  std::int64_t decay_rank = 0;  ///< w1, w2
  std::int64_t iclr_rank = 0;   ///< a1, a2 (in-context learning rate)
  std::int64_t value_rank = 0;  ///< v1, v2
  std::int64_t gate_rank = 0;   ///< g1, g2

  std::int64_t heads() const { return n_embd / head_size; }
};

/// Depths are the published ones. DINOv2 and SigLIP give the output of their second-to-last block, so depth -
/// 1 blocks exist. Defaults: vit_large_patch14_reg4_dinov2 at 448 pixels.
struct DinoV2Config {
  std::int64_t image_size = 448;
  std::int64_t patch_size = 14;
  std::int64_t width = 1024;
  std::int64_t depth = 24;
  std::int64_t heads = 16;
  std::int64_t mlp_hidden = 4096;
  std::int64_t registers = 4;

  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t feature_width() const { return width; }
};

/// Defaults: vit_so400m_patch14_siglip at 448 pixels.
struct SiglipConfig {
  std::int64_t image_size = 448;
  std::int64_t patch_size = 14;
  std::int64_t width = 1152;
  std::int64_t depth = 27;
  std::int64_t heads = 16;
  std::int64_t mlp_hidden = 4304;

  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t feature_width() const { return width; }
};

/// All blocks run; the neck's output is folded 2 x 2 into channels. Defaults: the image encoder of SAM ViT-B.
struct SamConfig {
  std::int64_t image_size = 1024;
  std::int64_t patch_size = 16;
  std::int64_t width = 768;
  std::int64_t depth = 12;
  std::int64_t heads = 12;
  std::int64_t mlp_hidden = 3072;
  std::int64_t window_size = 14;                            ///< patches a side
  std::vector<std::int64_t> global_blocks = {2, 5, 8, 11};  ///< blocks that attend over the whole map
  std::int64_t neck_width = 256;

  std::int64_t patches_per_side() const { return image_size / patch_size; }
  std::int64_t grid() const { return patches_per_side() / 2; }
  std::int64_t feature_width() const { return 4 * neck_width; }
};

enum class ProjectorKind { kMlp, kLinear };

/// The encoders in use; none of them: a language model alone, which has no projector.
struct VisionConfig {
  std::optional<DinoV2Config> dinov2;
  std::optional<SiglipConfig> siglip;
  std::optional<SamConfig> sam;
  std::int64_t tokens_per_image = 0;  ///< a square; image features are averaged to this many
  ProjectorKind projector = ProjectorKind::kMlp;

  bool any() const { return dinov2 || siglip || sam; }
  /// Width of the concatenated features: DINOv2 | SigLIP | SAM.
  std::int64_t feature_width() const;
  /// Image tokens a side before pooling, the same for all encoders; 0 without any.
  std::int64_t grid() const;
};

struct ModelConfig {
  LanguageModelConfig language_model;
  VisionConfig vision;
};

/// Fills ranks that are 0: max(32, 32 round(factor C^power / 32)) with (1.8, 0.5) for decay and in-context
/// learning rate, (1.3, 0.5) for the value and (0.6, 0.8) for the gate; halves round to even. Not every
/// published file follows the formula: whoever loads one takes the ranks from its shapes.
LanguageModelConfig with_default_ranks(LanguageModelConfig config);

/// @throws ConfigError "model: n_embd: ..." when sizes do not fit each other, among them encoders whose grids
/// differ.
void validate(const ModelConfig& config);

/// [model]: n_layer, n_embd, head_size, vocabulary_size, decay_rank, iclr_rank, value_rank, gate_rank,
/// projector. [vision]: tokens_per_image (required with an encoder); the tables dinov2, siglip and sam, each
/// of which being there says that the encoder is used.
/// @throws ConfigError with file and line, also where validate() would throw.
ModelConfig read_model_config(TomlReader model, TomlReader vision);

}  // namespace vrwkv::model
