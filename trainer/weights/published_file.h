// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "trainer/weights/weight.h"

namespace vrwkv::weights {

/// What a published file holds, told by its tensors' names.
enum class FileKind {
  kLanguageModel,  ///< RWKV-7: emb.weight, blocks.0.att.x_r, ...
  kDinoV2,         ///< timm's names or Meta's
  kSiglip,         ///< OpenCLIP's file (visual.trunk. and a text tower), or the tower alone in timm's names
  kSam,            ///< Meta's file (image_encoder. and more), or the encoder alone
  kVisualRwkv,     ///< any of rwkv., vit. and proj.
};
/// "an RWKV-7 language model" and so on.
std::string describe(FileKind kind);

struct PublishedFile {
  FileKind kind = FileKind::kVisualRwkv;
  WeightTable weights;  ///< by our names; what no model needs (text towers, mask decoders) is left out
};

/// Opens a PyTorch or safetensors file and renames its tensors to ours. Nothing is read but names and shapes;
/// values come from the mapped file when they are asked for.
///
/// From Meta's DINOv2 names: mask_token is left out, register_tokens becomes reg_token, and the class token's
/// position is added to it and taken off the position embeddings. Block 0's v0, v1, v2, which some RWKV-7
/// files carry, are left out: it has no use for them.
/// @throws as TensorFile::open; ConfigError when the names are of nothing we know.
PublishedFile open_published_file(const std::filesystem::path& path);

}  // namespace vrwkv::weights
