// SPDX-License-Identifier: Apache-2.0
// Encoders and projector against timm, transformers and plain formulas
// (tools/fixtures/make_model_fixtures.py).
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/support/peak_memory.h"
#include "tests/trainer/model/fixture.h"
#include "trainer/model/sam.h"
#include "trainer/model/vit_block.h"

namespace vrwkv::model {
namespace {

using test::Fixture;
using test::kForwardTolerance;
using test::kGradientTolerance;
using test::relative_rms;
using vrwkv::test::PeakMemory;

ModelConfig fixture_config() {
  ModelConfig config;
  config.language_model = {.n_layer = 1, .n_embd = 32, .head_size = 16, .vocabulary_size = 40};
  config.vision.dinov2 = {.image_size = 28,
                          .patch_size = 7,
                          .width = 16,
                          .depth = 4,
                          .heads = 2,
                          .mlp_hidden = 24,
                          .registers = 2};
  config.vision.siglip = {
      .image_size = 27, .patch_size = 6, .width = 16, .depth = 3, .heads = 2, .mlp_hidden = 24};
  config.vision.sam = {.image_size = 64,
                       .patch_size = 8,
                       .width = 16,
                       .depth = 3,
                       .heads = 2,
                       .mlp_hidden = 24,
                       .window_size = 3,
                       .global_blocks = {1},
                       .neck_width = 6};
  config.vision.tokens_per_image = 4;
  return config;
}

class Vision : public ::testing::Test {
 protected:
  std::map<std::int64_t, std::vector<at::Tensor>> pixels() const {
    std::map<std::int64_t, std::vector<at::Tensor>> by_size;
    for (const std::int64_t size : model_.image_sizes())
      by_size[size] = fixture_.integers("pixels/" + std::to_string(size)).to(at::kByte).unbind();
    return by_size;
  }
  at::Tensor expected_features() const {
    return at::cat({fixture_.floats("features/dinov2"), fixture_.floats("features/siglip"),
                    fixture_.floats("features/sam")},
                   -1);
  }

  const Fixture fixture_{"vision.h5"};
  const VisualRwkv model_ = fixture_.model(fixture_config());
};

TEST_F(Vision, WantsEachPixelSizeOnce) {
  EXPECT_EQ(model_.image_sizes(), (std::vector<std::int64_t>{27, 28, 64}));
}

TEST_F(Vision, EncodersGiveTheReferencesFeatures) {
  const at::Tensor features = model_.encode_images(pixels());
  ASSERT_EQ(features.sizes(), (std::vector<std::int64_t>{3, 16, 56}));
  EXPECT_LE(relative_rms(features.slice(2, 0, 16), fixture_.floats("features/dinov2")), kForwardTolerance);
  EXPECT_LE(relative_rms(features.slice(2, 16, 32), fixture_.floats("features/siglip")), kForwardTolerance);
  EXPECT_LE(relative_rms(features.slice(2, 32, 56), fixture_.floats("features/sam")), kForwardTolerance);
}

TEST_F(Vision, EncodersNeverRecordGradients) {
  for (const auto& parameter : model_.parameters()) at::Tensor(parameter.tensor).requires_grad_(true);
  EXPECT_FALSE(model_.encode_images(pixels()).requires_grad());
}

TEST_F(Vision, AnImagesFeaturesDoNotDependOnItsNeighbours) {
  const at::Tensor together = model_.encode_images(pixels());
  for (std::size_t image = 0; image < 3; ++image) {
    auto alone = pixels();
    for (auto& [size, images] : alone) images = {images[image]};
    EXPECT_TRUE(
        at::equal(model_.encode_images(alone), together[static_cast<std::int64_t>(image)].unsqueeze(0)))
        << image;
  }
}

TEST_F(Vision, NoImagesGiveNoFeatures) {
  auto none = pixels();
  for (auto& [size, images] : none) images.clear();
  const at::Tensor features = model_.encode_images(none);
  EXPECT_EQ(features.sizes(), (std::vector<std::int64_t>{0, 16, 56}));
  EXPECT_EQ(model_.project_images(model_.pool_images(features)).sizes(),
            (std::vector<std::int64_t>{0, 4, 32}));
}

TEST_F(Vision, ProjectorPoolsGatesAndNormalises) {
  std::vector<NamedTensor> projector;
  for (const auto& parameter : model_.parameters())
    if (parameter.name.starts_with("proj.")) projector.push_back(parameter);
  ASSERT_EQ(projector.size(), 4U);
  for (const auto& parameter : projector) at::Tensor(parameter.tensor).requires_grad_(true);
  const at::Tensor projected = model_.project_images(model_.pool_images(expected_features()));
  EXPECT_LE(relative_rms(projected, fixture_.floats("projected")), kForwardTolerance);
  (projected * fixture_.floats("projected_weights")).sum().backward();
  for (const auto& [name, tensor] : projector)
    EXPECT_LE(relative_rms(tensor.grad(), fixture_.floats("gradients/" + name)), kGradientTolerance) << name;
}

TEST(LinearProjector, IsOneMatrix) {
  ModelConfig config = fixture_config();
  config.vision.projector = ProjectorKind::kLinear;
  config.vision.tokens_per_image = 16;
  const VisualRwkv model(config, /*seed=*/5);
  ASSERT_EQ(model.parameters().back().name, "proj.weight");
  const at::Tensor features = at::arange(16 * 56, at::kFloat).view({1, 16, 56}).sin();
  EXPECT_LE(
      relative_rms(model.project_images(features), features.matmul(model.parameters().back().tensor.t())),
      kForwardTolerance);
}

TEST_F(Vision, RefusesPixelsThatDoNotFit) {
  auto missing = pixels();
  missing.erase(27);
  EXPECT_THROW(model_.encode_images(missing), ShapeError);
  auto fewer = pixels();
  fewer[64].pop_back();
  EXPECT_THROW(model_.encode_images(fewer), ShapeError);
  auto real = pixels();
  real[28][1] = real[28][1].to(at::kFloat);
  EXPECT_THROW(model_.encode_images(real), ShapeError);
  EXPECT_THROW(model_.pool_images(at::zeros({1, 16, 55})), ShapeError);
  EXPECT_THROW(model_.project_images(at::zeros({1, 16, 56})), ShapeError);
}

TEST(Encoders, HoldNoScores) {
  std::vector<NamedTensor> list;
  const ParameterFactory parameters(/*seed=*/3, [](const std::string&) { return true; }, list);
  const VitBlock plain(parameters, {.width = 32, .heads = 4, .mlp_hidden = 32, .layer_scale = false});
  const SamBlock whole_map(parameters.below("sam."),
                           {.image_size = 640, .patch_size = 16, .width = 32, .heads = 4, .mlp_hidden = 32},
                           /*window=*/0);
  const at::NoGradGuard no_gradients;
  const at::Tensor x = at::randn({1, 40, 40, 32});
  constexpr std::int64_t kOneHeadsScores = 1600 * 1600 * 4;
  {
    const PeakMemory peak;
    plain(x.flatten(1, 2));
    EXPECT_LT(peak.bytes(), kOneHeadsScores);
  }
  {
    const PeakMemory peak;
    whole_map(x);
    EXPECT_LT(peak.bytes(), kOneHeadsScores);
  }
}

TEST(ModelWithoutEncoders, RefusesImages) {
  ModelConfig config = fixture_config();
  config.vision = {};
  const VisualRwkv model(config, /*seed=*/5);
  EXPECT_TRUE(model.image_sizes().empty());
  EXPECT_THROW(model.encode_images({}), ConfigError);
}

}  // namespace
}  // namespace vrwkv::model
