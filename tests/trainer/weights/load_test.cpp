// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/load.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrwkv::weights {
namespace {

using ::testing::HasSubstr;

model::ModelConfig small_config() {
  model::ModelConfig config;
  config.language_model = {.n_layer = 2, .n_embd = 32, .head_size = 16, .vocabulary_size = 30};
  config.vision.siglip = {
      .image_size = 32, .patch_size = 8, .width = 16, .depth = 2, .heads = 2, .mlp_hidden = 8};
  config.vision.tokens_per_image = 4;
  return config;
}

Weight weight_of(const at::Tensor& tensor) {
  return {.shape = tensor.sizes().vec(), .rows = [tensor](std::int64_t first, std::int64_t count) {
            return tensor.narrow(0, first, count);
          }};
}

/// A model's parameters as bf16 weights.
WeightTable table_of(const model::VisualRwkv& model) {
  WeightTable table;
  for (const auto& [name, tensor] : model.parameters())
    table.emplace(name, weight_of(tensor.to(at::kBFloat16)));
  return table;
}

class Load : public ::testing::Test {
 protected:
  const model::VisualRwkv source_{small_config(), /*seed=*/1};
  const model::VisualRwkv target_{small_config(), /*seed=*/2};
  WeightTable table_ = table_of(source_);
};

TEST_F(Load, ConvertsEveryParameter) {
  EXPECT_EQ(describe_misfits(table_, target_.config(), false), "");
  load(table_, target_);
  for (std::size_t i = 0; i < source_.parameters().size(); ++i) {
    const at::Tensor expected = source_.parameters()[i].tensor.to(at::kBFloat16).to(at::kFloat);
    EXPECT_TRUE(target_.parameters()[i].tensor.equal(expected)) << source_.parameters()[i].name;
  }
}

TEST_F(Load, NamesAllThatDoesNotFit) {
  table_.erase("rwkv.head.weight");
  table_.emplace("rwkv.extra", weight_of(at::zeros({1})));
  table_["proj.ln_v.bias"] = weight_of(at::zeros({31}));
  table_["rwkv.ln_out.bias"].is_floating = false;
  const std::string misfits = describe_misfits(table_, target_.config(), false);
  EXPECT_THAT(misfits, HasSubstr("missing: rwkv.head.weight"));
  EXPECT_THAT(misfits, HasSubstr("surplus: rwkv.extra"));
  EXPECT_THAT(misfits, HasSubstr("proj.ln_v.bias is (31), not (32)"));
  EXPECT_THAT(misfits, HasSubstr("not floating-point: rwkv.ln_out.bias"));
}

TEST_F(Load, TheProjectorMayBeMissingAsAWhole) {
  std::erase_if(table_, [](const auto& entry) { return entry.first.starts_with("proj."); });
  EXPECT_EQ(describe_misfits(table_, target_.config(), true), "");
  EXPECT_THAT(describe_misfits(table_, target_.config(), false), HasSubstr("proj.gate.weight"));
  table_.emplace("proj.gate.weight", weight_of(at::zeros({16, 16})));
  EXPECT_THAT(describe_misfits(table_, target_.config(), true), HasSubstr("proj.o_proj.weight"));
}

TEST_F(Load, UnusedEndsMayBeMissing) {
  const std::string unused = "vit.siglip_featurizer.attn_pool.latent";
  table_.erase(unused);
  EXPECT_EQ(describe_misfits(table_, target_.config(), false), "");
  load(table_, target_);
  for (const auto& [name, tensor] : target_.parameters())
    if (name == unused) {
      EXPECT_EQ(tensor.abs().max().item<float>(), 0);
    }
}

TEST_F(Load, ResamplesPositionsOfAnotherGrid) {
  const std::string name = "vit.siglip_featurizer.pos_embed";
  // What varies by column varies by column afterwards. (The values: end_to_end.published_models.)
  const at::Tensor columns = at::arange(7, at::kFloat).view({1, 1, 7, 1}).expand({1, 7, 7, 16});
  table_[name] = weight_of(columns.reshape({1, 49, 16}).contiguous());
  EXPECT_THAT(describe_misfits(table_, target_.config(), false), HasSubstr(name))
      << "only position grids may differ";
  table_[name].is_position_grid = true;
  EXPECT_EQ(describe_misfits(table_, target_.config(), false), "");
  load(table_, target_);
  for (const auto& [parameter, tensor] : target_.parameters()) {
    if (parameter != name) continue;
    const at::Tensor grid = tensor.view({4, 4, 16});
    EXPECT_TRUE(at::allclose(grid[0], grid[3]));
    // Mirrored columns stay mirrored, and in order.
    EXPECT_TRUE(at::allclose(grid + grid.flip(1), at::full({4, 4, 16}, 6.0F)));
    EXPECT_GT(grid.diff(1, 1).min().item<float>(), 1);
  }
}

}  // namespace
}  // namespace vrwkv::weights
