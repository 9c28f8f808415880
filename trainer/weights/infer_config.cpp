// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/infer_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "common/error.h"
#include "trainer/weights/part.h"

namespace vrwkv::weights {
namespace {

std::int64_t root(std::int64_t number) { return std::lround(std::sqrt(static_cast<double>(number))); }

std::int64_t heads_of(std::int64_t width, std::initializer_list<std::int64_t> head_widths,
                      const char* encoder, const std::string& where) {
  for (const std::int64_t head_width : head_widths)
    if (width % head_width == 0) return width / head_width;
  throw ConfigError(
      "{}: vision.{}: its width {} is no multiple of 64 (the number of attention heads does not show in the "
      "shapes). Say it with --set vision.{}.heads=N.",
      where, encoder, width, encoder);
}

model::LanguageModelConfig infer_language_model(const WeightTable& table, const std::string& where) {
  const Part part(table, "rwkv.");
  model::LanguageModelConfig config;
  const auto width = part.size({{"emb.weight", 1, 2},
                                {"head.weight", 1, 2},
                                {"blocks.*.ln1.weight", 0, 1},
                                {"blocks.*.ln2.weight", 0, 1}});
  if (!width || part.blocks() == 0)
    throw ConfigError(
        "{}: holds no language model (rwkv.emb.weight and all that belongs to it are missing). Name an "
        "RWKV-7 "
        "file, too.",
        where);
  config.n_layer = part.blocks();
  config.n_embd = *width;
  config.vocabulary_size =
      part.size({{"emb.weight", 0, 2}, {"head.weight", 0, 2}}).value_or(config.vocabulary_size);
  config.head_size = part.size({{"blocks.*.att.r_k", 1, 2}}).value_or(config.head_size);
  fill_ranks(config, table);
  return config;
}

/// Which blocks of SAM attend globally, and the window of the others, by their tables of relative positions.
void infer_windows(const Part& part, std::int64_t side, model::SamConfig& config) {
  config.global_blocks.clear();
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const std::string height = fmt::format("blocks.{}.attn.rel_pos_h", i);
    const std::string width = fmt::format("blocks.{}.attn.rel_pos_w", i);
    const auto offsets = part.size({{height.c_str(), 0, 2}, {width.c_str(), 0, 2}});
    if (offsets == 2 * side - 1) {
      config.global_blocks.push_back(i);
    } else if (offsets) {
      config.window_size = (*offsets + 1) / 2;
    }
  }
}

model::SamConfig infer_sam(const Part& part) {
  model::SamConfig config;
  config.width =
      part.size({{"patch_embed.proj.weight", 0, 4}, {"blocks.*.norm1.weight", 0, 1}}).value_or(config.width);
  config.patch_size = part.size({{"patch_embed.proj.weight", 2, 4}, {"patch_embed.proj.weight", 3, 4}})
                          .value_or(config.patch_size);
  const std::int64_t side =
      part.size({{"pos_embed", 1, 4}, {"pos_embed", 2, 4}}).value_or(config.patches_per_side());
  config.image_size = side * config.patch_size;
  config.depth = part.blocks();
  config.mlp_hidden = part.size({{"blocks.*.mlp.lin1.weight", 0, 2}, {"blocks.*.mlp.lin2.weight", 1, 2}})
                          .value_or(config.mlp_hidden);
  config.neck_width = part.size({{"neck.0.weight", 0, 4}, {"neck.1.weight", 0, 1}, {"neck.3.weight", 0, 1}})
                          .value_or(config.neck_width);
  config.heads =
      config.width /
      part.size({{"blocks.*.attn.rel_pos_h", 1, 2}, {"blocks.*.attn.rel_pos_w", 1, 2}}).value_or(64);
  infer_windows(part, side, config);
  return config;
}

std::int64_t image_size_of(const Part& part, std::int64_t patch_size, bool native, std::int64_t sam_grid) {
  if (sam_grid > 0) return sam_grid * patch_size;
  const auto places = part.size({{"pos_embed", 1, 3}});
  if (native || !places) return kDefaultImageSize / patch_size * patch_size;
  return root(*places) * patch_size;
}

/// What DINOv2 and SigLIP have in common.
template <class Encoder>
void infer_vit(const Part& part, bool native, std::int64_t sam_grid, Encoder& config) {
  config.width =
      part.size({{"patch_embed.proj.weight", 0, 4}, {"blocks.*.norm1.weight", 0, 1}}).value_or(config.width);
  config.patch_size = part.size({{"patch_embed.proj.weight", 2, 4}, {"patch_embed.proj.weight", 3, 4}})
                          .value_or(config.patch_size);
  config.image_size = image_size_of(part, config.patch_size, native, sam_grid);
  config.depth = part.blocks();
  config.mlp_hidden = part.size({{"blocks.*.mlp.fc1.weight", 0, 2}, {"blocks.*.mlp.fc2.weight", 1, 2}})
                          .value_or(config.mlp_hidden);
}

}  // namespace

void fill_ranks(model::LanguageModelConfig& config, const WeightTable& table) {
  const Part part(table, "rwkv.");
  const auto fill = [&](std::int64_t& rank, const char* down, const char* up) {
    if (rank == 0) rank = part.size({{down, 1, 2}, {up, 0, 2}}).value_or(0);
  };
  fill(config.decay_rank, "blocks.*.att.w1", "blocks.*.att.w2");
  fill(config.iclr_rank, "blocks.*.att.a1", "blocks.*.att.a2");
  fill(config.value_rank, "blocks.*.att.v1", "blocks.*.att.v2");
  fill(config.gate_rank, "blocks.*.att.g1", "blocks.*.att.g2");
}

model::ModelConfig infer_model_config(const WeightTable& table, bool native, const std::string& where) {
  model::ModelConfig config;
  config.language_model = infer_language_model(table, where);
  model::VisionConfig& vision = config.vision;
  const Part sam(table, "vit.sam_featurizer.");
  const Part dinov2(table, "vit.dino_featurizer.");
  const Part siglip(table, "vit.siglip_featurizer.");
  if (sam.exists()) vision.sam = infer_sam(sam);
  const std::int64_t sam_grid = vision.sam ? vision.sam->grid() : 0;
  if (dinov2.exists()) {
    infer_vit(dinov2, native, sam_grid, vision.dinov2.emplace());
    vision.dinov2->heads = heads_of(vision.dinov2->width, {64}, "dinov2", where);
    vision.dinov2->registers = dinov2.size({{"reg_token", 1, 3}}).value_or(vision.dinov2->registers);
  }
  if (siglip.exists()) {
    infer_vit(siglip, native, sam_grid, vision.siglip.emplace());
    vision.siglip->heads = heads_of(vision.siglip->width, {72, 64}, "siglip", where);
  }
  vision.tokens_per_image = vision.grid() * vision.grid();
  if (table.contains("proj.weight")) vision.projector = model::ProjectorKind::kLinear;
  return config;
}

std::string model_toml(const model::ModelConfig& config) {
  const model::LanguageModelConfig& rwkv = config.language_model;
  const model::VisionConfig& vision = config.vision;
  std::string text = fmt::format(
      "[model]\nn_layer = {}\nn_embd = {}\nhead_size = {}\nvocabulary_size = {}\ndecay_rank = {}\niclr_rank "
      "= {}\n"
      "value_rank = {}\ngate_rank = {}\nprojector = \"{}\"\n",
      rwkv.n_layer, rwkv.n_embd, rwkv.head_size, rwkv.vocabulary_size, rwkv.decay_rank, rwkv.iclr_rank,
      rwkv.value_rank, rwkv.gate_rank, vision.projector == model::ProjectorKind::kMlp ? "mlp" : "linear");
  if (vision.any()) text += fmt::format("\n[vision]\ntokens_per_image = {}\n", vision.tokens_per_image);
  const auto vit = [](const auto& tower) {
    return fmt::format(
        "image_size = {}\npatch_size = {}\nwidth = {}\ndepth = {}\nheads = {}\nmlp_hidden = {}\n",
        tower.image_size, tower.patch_size, tower.width, tower.depth, tower.heads, tower.mlp_hidden);
  };
  if (vision.dinov2)
    text += "\n[vision.dinov2]\n" + vit(*vision.dinov2) +
            fmt::format("registers = {}\n", vision.dinov2->registers);
  if (vision.siglip) text += "\n[vision.siglip]\n" + vit(*vision.siglip);
  if (vision.sam)
    text += "\n[vision.sam]\n" + vit(*vision.sam) +
            fmt::format("window_size = {}\nglobal_blocks = [{}]\nneck_width = {}\n", vision.sam->window_size,
                        fmt::join(vision.sam->global_blocks, ", "), vision.sam->neck_width);
  return text;
}

}  // namespace vrwkv::weights
