// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/encoder_cost.h"

#include <gtest/gtest.h>

namespace vrwkv::model {
namespace {

// The published encoders' operations per image, counted elsewhere: 0.70, 0.94 and 0.97 TFLOP. The last counts
// SAM's projections of the places that pad its windows, in 8 blocks, which we do not compute.
TEST(EncoderCost, IsThePublishedEncoders) {
  VisionConfig dinov2, siglip, sam, all;
  dinov2.dinov2 = all.dinov2 = DinoV2Config{};
  siglip.siglip = all.siglip = SiglipConfig{};
  sam.sam = all.sam = SamConfig{};
  EXPECT_NEAR(encoder_flops(dinov2) / 1e12, 0.70, 0.01);
  EXPECT_NEAR(encoder_flops(siglip) / 1e12, 0.94, 0.01);
  const double padding = 8 * 2.0 * (4900 - 4096) * 4 * 768 * 768;
  EXPECT_NEAR((encoder_flops(sam) + padding) / 1e12, 0.97, 0.01);
  EXPECT_DOUBLE_EQ(encoder_flops(all), encoder_flops(dinov2) + encoder_flops(siglip) + encoder_flops(sam));
  EXPECT_EQ(encoder_flops(VisionConfig{}), 0);
}

}  // namespace
}  // namespace vrwkv::model
