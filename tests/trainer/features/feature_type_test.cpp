// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_type.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "common/error.h"

namespace vrwkv::trainer {
namespace {

/// Tokens of very different sizes, one of them zero.
at::Tensor features() {
  at::Tensor x = at::randn({6, 40}, at::detail::createCPUGenerator(7));
  return x * at::tensor({1e-6F, 1e-2F, 1.0F, 30.0F, 1e5F, 0.0F}).unsqueeze(-1);
}

at::Tensor there_and_back(const at::Tensor& x, FeatureType type) { return from_stored(to_stored(x, type)); }

TEST(FeatureType, Fp32KeepsEveryBit) {
  EXPECT_TRUE(at::equal(there_and_back(features(), FeatureType::kFp32), features()));
}

TEST(FeatureType, Bf16RoundsToNearestAndKeepsItself) {
  const at::Tensor rounded = features().to(at::kBFloat16);
  EXPECT_TRUE(at::equal(there_and_back(features(), FeatureType::kBf16), rounded.to(at::kFloat)));
  EXPECT_TRUE(at::equal(there_and_back(rounded, FeatureType::kBf16), rounded.to(at::kFloat)));
}

// e4m3 has three bits behind the point: an error of 2^-4 of the number, and of half its smallest step (2^-10
// of a scale) near zero.
TEST(FeatureType, Fp8IsScaledToken) {
  const at::Tensor x = features();
  const at::Tensor back = there_and_back(x, FeatureType::kFp8);
  EXPECT_TRUE(back.isfinite().all().item<bool>());
  const at::Tensor scale = x.abs().amax(-1, /*keepdim=*/true) / 448;
  EXPECT_TRUE(((back - x).abs() <= x.abs() / 16 + scale / 1024).all().item<bool>());
  EXPECT_TRUE(at::allclose(back.abs().amax(-1), x.abs().amax(-1), 1e-6, 0));
  EXPECT_TRUE((back[5] == 0).all().item<bool>());
}

TEST(FeatureType, NamesAreReadBack) {
  for (const FeatureType type : {FeatureType::kFp32, FeatureType::kBf16, FeatureType::kFp8})
    EXPECT_EQ(feature_type_of(name_of(type)), type);
  EXPECT_THROW(feature_type_of("int4"), ConfigError);
}

}  // namespace
}  // namespace vrwkv::trainer
