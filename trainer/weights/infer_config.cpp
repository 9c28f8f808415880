// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/infer_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <set>

#include "common/error.h"

namespace vrwkv::weights {
namespace {

/// The tensors whose names begin with one prefix.
class Part {
 public:
  Part(const WeightTable& table, std::string prefix, const std::string& where)
      : table_(table), prefix_(std::move(prefix)), where_(where) {}

  bool exists() const {
    const auto found = table_.lower_bound(prefix_);
    return found != table_.end() && found->first.starts_with(prefix_);
  }
  bool has(const std::string& name) const { return table_.contains(prefix_ + name); }

  /// Size `dimension` of a tensor with `dimensions` of them.
  std::int64_t size(const std::string& name, std::size_t dimension, std::size_t dimensions) const {
    const auto found = table_.find(prefix_ + name);
    if (found == table_.end())
      throw ConfigError("{}: tensor '{}{}' is missing (the model's sizes are read from it).", where_, prefix_,
                        name);
    const std::vector<std::int64_t>& shape = found->second.shape;
    if (shape.size() != dimensions || shape[dimension] < 1)
      throw ConfigError(
          "{}: tensor '{}{}' is ({}) but should have {} dimensions (the model's sizes are read from it).",
          where_, prefix_, name, fmt::join(shape, ", "), dimensions);
    return shape[dimension];
  }

  std::int64_t blocks() const {
    std::set<std::string> indices;
    const std::string start = prefix_ + "blocks.";
    for (auto entry = table_.lower_bound(start); entry != table_.end() && entry->first.starts_with(start);
         ++entry)
      indices.insert(entry->first.substr(start.size(), entry->first.find('.', start.size()) - start.size()));
    return static_cast<std::int64_t>(indices.size());
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw ConfigError("{}: {}{}", where_, prefix_, what);
  }

 private:
  const WeightTable& table_;
  std::string prefix_;
  const std::string& where_;
};

std::int64_t root(std::int64_t number) { return std::lround(std::sqrt(static_cast<double>(number))); }

std::int64_t heads_of(const Part& part, std::int64_t width, std::initializer_list<std::int64_t> head_widths) {
  for (const std::int64_t head_width : head_widths)
    if (width % head_width == 0) return width / head_width;
  part.fail(
      fmt::format(": its width {} is no multiple of 64 (the number of attention heads does not show in the "
                  "shapes). Say it "
                  "with --set vision.ENCODER.heads=N.",
                  width));
}

model::LanguageModelConfig infer_language_model(const WeightTable& table, const std::string& where) {
  const Part part(table, "rwkv.", where);
  model::LanguageModelConfig config;
  config.n_layer = part.blocks();
  config.vocabulary_size = part.size("emb.weight", 0, 2);
  config.n_embd = part.size("emb.weight", 1, 2);
  config.head_size = part.size("blocks.0.att.r_k", 1, 2);
  fill_ranks(config, table);
  return config;
}

std::int64_t image_size_of(const Part& part, std::int64_t patch_size, bool native, std::int64_t sam_grid) {
  if (sam_grid > 0) return sam_grid * patch_size;
  if (native) return kDefaultImageSize / patch_size * patch_size;
  return root(part.size("pos_embed", 1, 3)) * patch_size;
}

model::SamConfig infer_sam(const Part& part) {
  model::SamConfig config;
  config.width = part.size("patch_embed.proj.weight", 0, 4);
  config.patch_size = part.size("patch_embed.proj.weight", 3, 4);
  const std::int64_t side = part.size("pos_embed", 1, 4);
  config.image_size = side * config.patch_size;
  config.depth = part.blocks();
  config.mlp_hidden = part.size("blocks.0.mlp.lin1.weight", 0, 2);
  config.neck_width = part.size("neck.0.weight", 0, 4);
  config.heads = config.width / part.size("blocks.0.attn.rel_pos_h", 1, 2);
  config.global_blocks.clear();
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const std::int64_t offsets = part.size(fmt::format("blocks.{}.attn.rel_pos_h", i), 0, 2);
    if (offsets == 2 * side - 1) {
      config.global_blocks.push_back(i);
    } else {
      config.window_size = (offsets + 1) / 2;
    }
  }
  return config;
}

model::DinoV2Config infer_dinov2(const Part& part, bool native, std::int64_t sam_grid) {
  model::DinoV2Config config;
  config.width = part.size("patch_embed.proj.weight", 0, 4);
  config.patch_size = part.size("patch_embed.proj.weight", 3, 4);
  config.image_size = image_size_of(part, config.patch_size, native, sam_grid);
  config.depth = part.blocks();
  config.heads = heads_of(part, config.width, {64});
  config.mlp_hidden = part.size("blocks.0.mlp.fc1.weight", 0, 2);
  config.registers = part.has("reg_token") ? part.size("reg_token", 1, 3) : 0;
  return config;
}

model::SiglipConfig infer_siglip(const Part& part, bool native, std::int64_t sam_grid) {
  model::SiglipConfig config;
  config.width = part.size("patch_embed.proj.weight", 0, 4);
  config.patch_size = part.size("patch_embed.proj.weight", 3, 4);
  config.image_size = image_size_of(part, config.patch_size, native, sam_grid);
  config.depth = part.blocks();
  config.heads = heads_of(part, config.width, {72, 64});
  config.mlp_hidden = part.size("blocks.0.mlp.fc1.weight", 0, 2);
  return config;
}

}  // namespace

void fill_ranks(model::LanguageModelConfig& config, const WeightTable& table) {
  const auto fill = [&](std::int64_t& rank, const char* name) {
    const auto found = table.find(name);
    if (rank == 0 && found != table.end() && found->second.shape.size() == 2) rank = found->second.shape[1];
  };
  fill(config.decay_rank, "rwkv.blocks.0.att.w1");
  fill(config.iclr_rank, "rwkv.blocks.0.att.a1");
  fill(config.value_rank, "rwkv.blocks.1.att.v1");
  fill(config.gate_rank, "rwkv.blocks.0.att.g1");
}

model::ModelConfig infer_model_config(const WeightTable& table, bool native, const std::string& where) {
  model::ModelConfig config;
  config.language_model = infer_language_model(table, where);
  model::VisionConfig& vision = config.vision;
  const Part sam(table, "vit.sam_featurizer.", where);
  const Part dinov2(table, "vit.dino_featurizer.", where);
  const Part siglip(table, "vit.siglip_featurizer.", where);
  if (sam.exists()) vision.sam = infer_sam(sam);
  const std::int64_t sam_grid = vision.sam ? vision.sam->grid() : 0;
  if (dinov2.exists()) vision.dinov2 = infer_dinov2(dinov2, native, sam_grid);
  if (siglip.exists()) vision.siglip = infer_siglip(siglip, native, sam_grid);
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
