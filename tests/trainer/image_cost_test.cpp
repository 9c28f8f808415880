// SPDX-License-Identifier: Apache-2.0
#include "trainer/image_cost.h"

#include <gtest/gtest.h>

namespace vrwkv::trainer {
namespace {

model::ModelConfig published(std::int64_t n_layer, std::int64_t n_embd) {
  model::ModelConfig config;
  config.language_model.n_layer = n_layer;
  config.language_model.n_embd = n_embd;
  config.vision.dinov2.emplace();
  config.vision.siglip.emplace();
  config.vision.sam.emplace();
  return config;
}

// 2.6 TFLOP an image for the three published encoders; 6 * 12 * layers * channels^2 a token.
TEST(ImageCost, IsThePublishedEncodersInTokensOfTheLanguageModel) {
  EXPECT_NEAR(static_cast<double>(image_cost_in_tokens(published(12, 768))), 2.6e12 / 510e6, 250);
  EXPECT_NEAR(static_cast<double>(image_cost_in_tokens(published(24, 2048))), 2.6e12 / 7.25e9, 20);
}

TEST(ImageCost, AModelWithoutEncodersHasNone) {
  model::ModelConfig config = published(2, 64);
  config.vision = {};
  EXPECT_EQ(image_cost_in_tokens(config), 0);
}

// A step is dealt by it: resumed runs must find the same.
TEST(ImageCost, IsFrozen) { EXPECT_EQ(image_cost_in_tokens(published(24, 1024)), 1419); }

}  // namespace
}  // namespace vrwkv::trainer
