// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>

#include "common/error.h"

namespace vrwkv::model {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 30;

/// Says what is wrong with a key, in the words of whoever asked: must throw.
using Refuse = std::function<void(std::string_view key, const std::string& message)>;

void check_language_model(const LanguageModelConfig& config, const Refuse& refuse) {
  if (config.n_layer < 1)
    refuse("n_layer", fmt::format("{} is below 1 (there is no model).", config.n_layer));
  if (config.head_size < 16 || config.head_size % 16 != 0)
    refuse("head_size", fmt::format("{} is not a multiple of 16 (the WKV kernel works in such tiles). "
                                    "Published models have 64.",
                                    config.head_size));
  if (config.n_embd < 1 || config.n_embd % config.head_size != 0)
    refuse("n_embd", fmt::format("{} is not a multiple of head_size {} (channels divide into heads).",
                                 config.n_embd, config.head_size));
  if (config.vocabulary_size < 1)
    refuse("vocabulary_size", fmt::format("{} is below 1 (there is no token).", config.vocabulary_size));
}

template <class Encoder>
void check_vit(const Encoder& config, const Refuse& refuse) {
  if (config.grid() < 1)
    refuse("patch_size", fmt::format("{} does not fit into image_size {} (there is no patch).",
                                     config.patch_size, config.image_size));
  if (config.heads < 1 || config.width % config.heads != 0)
    refuse("width", fmt::format("{} is not a multiple of heads {} (channels divide into heads).",
                                config.width, config.heads));
}

template <class Encoder>
void check_second_to_last(const Encoder& config, const Refuse& refuse) {
  check_vit(config, refuse);
  if (config.depth < 2)
    refuse("depth",
           fmt::format("{} is below 2 (the output is that of the second-to-last block).", config.depth));
}

void check_sam(const SamConfig& config, const Refuse& refuse) {
  if (config.patch_size < 1 || config.image_size % (2 * config.patch_size) != 0)
    refuse("image_size",
           fmt::format("{} is not a multiple of twice patch_size {} (2 x 2 patches become one token).",
                       config.image_size, config.patch_size));
  check_vit(config, refuse);
  for (const std::int64_t block : config.global_blocks)
    if (block < 0 || block >= config.depth)
      refuse("global_blocks", fmt::format("there is no block {} (depth is {}).", block, config.depth));
}

void check_together(const VisionConfig& config, const Refuse& refuse) {
  if (!config.any()) return;
  std::string first;
  const auto agree = [&](const char* name, const auto& encoder) {
    if (!encoder) return;
    if (first.empty()) first = name;
    if (encoder->grid() != config.grid())
      refuse(name,
             fmt::format("its tokens form a {1} x {1} grid but those of {0} a {2} x {2} one (features of one "
                         "place stand side by side). Change image_size or patch_size of one.",
                         first, encoder->grid(), config.grid()));
  };
  agree("dinov2", config.dinov2);
  agree("siglip", config.siglip);
  agree("sam", config.sam);
  const auto side =
      static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(config.tokens_per_image))));
  if (config.tokens_per_image < 1 || side * side != config.tokens_per_image)
    refuse("tokens_per_image",
           fmt::format("{} is not a square number (features are pooled to a square grid).",
                       config.tokens_per_image));
  if (side > config.grid())
    refuse("tokens_per_image",
           fmt::format("{} exceeds the {} tokens that the encoders give (tokens would repeat).",
                       config.tokens_per_image, config.grid() * config.grid()));
}

/// Keys that the three encoders share, except depth.
template <class Encoder>
void read_vit(TomlReader& table, Encoder& config) {
  config.image_size = table.integer("image_size", 1, kMost, config.image_size);
  config.patch_size = table.integer("patch_size", 1, kMost, config.patch_size);
  config.width = table.integer("width", 1, kMost, config.width);
  config.depth = table.integer("depth", 1, kMost, config.depth);
  config.heads = table.integer("heads", 1, kMost, config.heads);
  config.mlp_hidden = table.integer("mlp_hidden", 1, kMost, config.mlp_hidden);
}

Refuse refusal_of(const TomlReader& table) {
  return [&table](std::string_view key, const std::string& message) { table.fail(key, message); };
}

DinoV2Config read_dinov2(TomlReader table) {
  DinoV2Config config;
  read_vit(table, config);
  config.registers = table.integer("registers", 0, kMost, config.registers);
  table.reject_unknown_keys();
  check_second_to_last(config, refusal_of(table));
  return config;
}

SiglipConfig read_siglip(TomlReader table) {
  SiglipConfig config;
  read_vit(table, config);
  table.reject_unknown_keys();
  check_second_to_last(config, refusal_of(table));
  return config;
}

SamConfig read_sam(TomlReader table) {
  SamConfig config;
  read_vit(table, config);
  config.window_size = table.integer("window_size", 1, kMost, config.window_size);
  config.global_blocks = table.integers("global_blocks", 0, kMost, config.global_blocks);
  config.neck_width = table.integer("neck_width", 1, kMost, config.neck_width);
  table.reject_unknown_keys();
  check_sam(config, refusal_of(table));
  return config;
}

LanguageModelConfig read_language_model(TomlReader& table) {
  LanguageModelConfig config;
  config.n_layer = table.integer("n_layer", 1, kMost);
  config.n_embd = table.integer("n_embd", 1, kMost);
  config.head_size = table.integer("head_size", 1, kMost, config.head_size);
  config.vocabulary_size = table.integer("vocabulary_size", 1, kMost, config.vocabulary_size);
  config.decay_rank = table.integer("decay_rank", 0, kMost, config.decay_rank);
  config.iclr_rank = table.integer("iclr_rank", 0, kMost, config.iclr_rank);
  config.value_rank = table.integer("value_rank", 0, kMost, config.value_rank);
  config.gate_rank = table.integer("gate_rank", 0, kMost, config.gate_rank);
  check_language_model(config, refusal_of(table));
  return config;
}

std::int64_t default_rank(double factor, double power, std::int64_t n_embd) {
  // nearbyint rounds halves to even, as Python's round does.
  const double tiles = std::nearbyint(factor * std::pow(static_cast<double>(n_embd), power) / 32);
  return std::max<std::int64_t>(32, 32 * static_cast<std::int64_t>(tiles));
}

}  // namespace

std::int64_t VisionConfig::feature_width() const {
  return (dinov2 ? dinov2->feature_width() : 0) + (siglip ? siglip->feature_width() : 0) +
         (sam ? sam->feature_width() : 0);
}

std::int64_t VisionConfig::grid() const {
  if (dinov2) return dinov2->grid();
  if (siglip) return siglip->grid();
  return sam ? sam->grid() : 0;
}

LanguageModelConfig with_default_ranks(LanguageModelConfig config) {
  const auto fill = [&](std::int64_t& rank, double factor, double power) {
    if (rank == 0) rank = default_rank(factor, power, config.n_embd);
  };
  fill(config.decay_rank, 1.8, 0.5);
  fill(config.iclr_rank, 1.8, 0.5);
  fill(config.value_rank, 1.3, 0.5);
  fill(config.gate_rank, 0.6, 0.8);
  return config;
}

void validate(const ModelConfig& config) {
  const auto refuse_in = [](const char* part) -> Refuse {
    return [part](std::string_view key, const std::string& message) {
      throw ConfigError("{}: {}: {}", part, key, message);
    };
  };
  check_language_model(config.language_model, refuse_in("model"));
  if (config.vision.dinov2) check_second_to_last(*config.vision.dinov2, refuse_in("vision.dinov2"));
  if (config.vision.siglip) check_second_to_last(*config.vision.siglip, refuse_in("vision.siglip"));
  if (config.vision.sam) check_sam(*config.vision.sam, refuse_in("vision.sam"));
  check_together(config.vision, refuse_in("vision"));
}

ModelConfig read_model_config(TomlReader model, TomlReader vision) {
  ModelConfig config;
  config.language_model = read_language_model(model);
  config.vision.projector = model.one_of("projector", {"mlp", "linear"}, "mlp") == "mlp"
                                ? ProjectorKind::kMlp
                                : ProjectorKind::kLinear;
  model.reject_unknown_keys();

  // Asked for in any case, so that a misspelt table is told the right name.
  TomlReader dinov2 = vision.table("dinov2");
  TomlReader siglip = vision.table("siglip");
  TomlReader sam = vision.table("sam");
  if (vision.has("dinov2")) config.vision.dinov2 = read_dinov2(dinov2);
  if (vision.has("siglip")) config.vision.siglip = read_siglip(siglip);
  if (vision.has("sam")) config.vision.sam = read_sam(sam);
  if (config.vision.any()) config.vision.tokens_per_image = vision.integer("tokens_per_image", 1, kMost);
  vision.reject_unknown_keys();
  check_together(config.vision, refusal_of(vision));
  return config;
}

}  // namespace vrwkv::model
