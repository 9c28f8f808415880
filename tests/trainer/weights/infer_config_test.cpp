// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/infer_config.h"

#include <gtest/gtest.h>

#include "common/error.h"
#include "trainer/model/visual_rwkv.h"

namespace vrwkv::weights {
namespace {

/// Names and shapes of all parameters, which is all that a file says.
WeightTable shapes_of(const model::ModelConfig& config) {
  WeightTable table;
  for (const auto& [name, tensor] : model::VisualRwkv::shapes(config))
    table[name].shape = tensor.sizes().vec();
  return table;
}

model::ModelConfig published(std::int64_t layers, std::int64_t width, std::int64_t gate_rank) {
  model::ModelConfig config;
  config.language_model = {.n_layer = layers, .n_embd = width, .gate_rank = gate_rank};
  config.language_model = with_default_ranks(config.language_model);
  config.vision = {.dinov2 = model::DinoV2Config{},
                   .siglip = model::SiglipConfig{},
                   .sam = model::SamConfig{},
                   .tokens_per_image = 1024};
  return config;
}

void expect_equal(const model::ModelConfig& found, const model::ModelConfig& expected) {
  EXPECT_EQ(model_toml(found), model_toml(expected));
}

TEST(InferConfig, KnowsThePublishedModels) {
  for (const auto& config : {published(12, 768, 128), published(24, 1024, 128), published(24, 2048, 256)})
    expect_equal(infer_model_config(shapes_of(config), /*native=*/false, "file"), config);
}

TEST(InferConfig, ResamplesNativePositions) {
  const model::ModelConfig config = published(12, 768, 128);
  WeightTable table = shapes_of(config);
  table["vit.dino_featurizer.pos_embed"].shape = {1, 37 * 37, 1024};
  table["vit.siglip_featurizer.pos_embed"].shape = {1, 27 * 27, 1152};
  expect_equal(infer_model_config(table, /*native=*/true, "file"), config);
  // Without SAM, whose grid the others share, the size is the default one.
  std::erase_if(table, [](const auto& entry) { return entry.first.starts_with("vit.sam_featurizer."); });
  model::ModelConfig without = config;
  without.vision.sam.reset();
  expect_equal(infer_model_config(table, /*native=*/true, "file"), without);
}

TEST(InferConfig, TakesOtherSizesFromTheShapes) {
  model::ModelConfig config;
  config.language_model = {.n_layer = 3,
                           .n_embd = 192,
                           .head_size = 32,
                           .vocabulary_size = 700,
                           .decay_rank = 8,
                           .iclr_rank = 16,
                           .value_rank = 24,
                           .gate_rank = 40};
  config.vision.dinov2 = {.image_size = 60,
                          .patch_size = 10,
                          .width = 128,
                          .depth = 3,
                          .heads = 2,
                          .mlp_hidden = 96,
                          .registers = 3};
  config.vision.siglip = {
      .image_size = 48, .patch_size = 8, .width = 128, .depth = 5, .heads = 2, .mlp_hidden = 40};
  config.vision.sam = {.image_size = 96,
                       .patch_size = 8,
                       .width = 48,
                       .depth = 4,
                       .heads = 3,
                       .mlp_hidden = 20,
                       .window_size = 5,
                       .global_blocks = {1, 3},
                       .neck_width = 12};
  config.vision.tokens_per_image = 36;
  config.vision.projector = model::ProjectorKind::kLinear;
  expect_equal(infer_model_config(shapes_of(config), /*native=*/false, "file"), config);
}

TEST(InferConfig, NoSingleTensorDecides) {
  model::ModelConfig config = published(3, 768, 128);
  config.vision.dinov2->depth = config.vision.siglip->depth = config.vision.sam->depth = 3;
  config.vision.sam->global_blocks = {2};
  const WeightTable whole = shapes_of(config);
  for (const auto& [name, weight] : whole) {
    WeightTable table = whole;
    table.erase(name);
    expect_equal(infer_model_config(table, /*native=*/false, "file"), config);
    table[name].shape = {};
    expect_equal(infer_model_config(table, /*native=*/false, "file"), config);
    table[name] = weight;
    --table[name].shape[0];  // and one row too few
    expect_equal(infer_model_config(table, /*native=*/false, "file"), config);
  }
}

TEST(InferConfig, AMissingBlockIsNoSmallerModel) {
  WeightTable table = shapes_of(published(12, 768, 128));
  std::erase_if(table, [](const auto& entry) { return entry.first.starts_with("rwkv.blocks.5."); });
  EXPECT_EQ(infer_model_config(table, false, "file").language_model.n_layer, 12);
  // But one tensor does not make a million blocks.
  table["rwkv.blocks.1000000.ln1.weight"].shape = {768};
  EXPECT_LT(infer_model_config(table, false, "file").language_model.n_layer, 100);
}

TEST(InferConfig, WithoutALanguageModelThereIsNoModel) {
  WeightTable table = shapes_of(published(12, 768, 128));
  std::erase_if(table, [](const auto& entry) { return entry.first.starts_with("rwkv."); });
  try {
    infer_model_config(table, false, "weights.pth");
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("weights.pth: holds no language model (rwkv.emb.weight"),
              std::string::npos)
        << error.what();
  }
}

TEST(FillRanks, LeavesWhatIsSaid) {
  const WeightTable table = shapes_of(published(24, 1024, 128));
  model::LanguageModelConfig config{.n_layer = 24, .n_embd = 1024, .decay_rank = 7};
  fill_ranks(config, table);
  EXPECT_EQ(config.decay_rank, 7);
  EXPECT_EQ(config.iclr_rank, 64);
  EXPECT_EQ(config.value_rank, 32);
  EXPECT_EQ(config.gate_rank, 128);
}

}  // namespace
}  // namespace vrwkv::weights
