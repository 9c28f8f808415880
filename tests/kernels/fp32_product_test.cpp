// SPDX-License-Identifier: Apache-2.0
#include "kernels/fp32_product.h"

#include <gtest/gtest.h>

#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

/// Products of bf16 numbers are exact in fp32, so only the sums round.
constexpr double kTolerance = 1e-6;

class Fp32Product : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Fp32Product, IsNeverRoundedToBf16) {
  const at::Tensor a = at::randn({40, 300}).to(GetParam()), b = at::randn({300, 24}).to(GetParam());
  const at::Tensor expected = at::mm(a.to(at::kDouble), b.to(at::kDouble));
  const at::Tensor product = fp32_product(a, b);
  EXPECT_EQ(product.scalar_type(), at::kFloat);
  EXPECT_LE(test::relative_rms(product, expected), kTolerance);
  EXPECT_LE(test::relative_rms(fp32_product(b.t(), a.t()), expected.t()), kTolerance);
}

TEST_P(Fp32Product, AddsOrOverwrites) {
  const at::Tensor a = at::randn({5, 7}).to(GetParam()), b = at::randn({7, 3}).to(GetParam());
  const at::Tensor there = at::randn({5, 3}), product = at::mm(a.to(at::kDouble), b.to(at::kDouble));
  const at::Tensor sum = there.clone(), fresh = at::full({5, 3}, NAN);
  fp32_product_into(sum, a, b, /*adds=*/true);
  EXPECT_LE(test::relative_rms(sum, product + there), kTolerance);
  fp32_product_into(fresh, a, b, /*adds=*/false);
  EXPECT_LE(test::relative_rms(fresh, product), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Types, Fp32Product, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) { return type.param == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace vrwkv::kernels
