// SPDX-License-Identifier: Apache-2.0
#include "kernels/fp32_product/fp32_product.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>

#include "kernels/fp32_product/bf16_product_cpu.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

/// Products of bf16 numbers are exact in fp32, so only the sums round.
constexpr double kTolerance = 1e-6;

class Fp32Product : public testing::TestWithParam<at::ScalarType> {};

at::Tensor in_fp64(const at::Tensor& a, const at::Tensor& b) {
  return at::mm(a.to(at::kDouble), b.to(at::kDouble));
}

TEST_P(Fp32Product, IsNeverRoundedToBf16) {
  const at::Tensor a = at::randn({40, 300}).to(GetParam()), b = at::randn({300, 24}).to(GetParam());
  const at::Tensor expected = in_fp64(a, b), product = fp32_product(a, b);
  EXPECT_EQ(product.scalar_type(), at::kFloat);
  EXPECT_LE(test::relative_rms(product, expected), kTolerance);
  EXPECT_LE(test::relative_rms(fp32_product(b.t(), a.t()), expected.t()), kTolerance);
}

TEST_P(Fp32Product, AddsOrOverwrites) {
  for (const auto& [m, k, n] : {std::array{5, 7, 3}, std::array{64, 32, 128}, std::array{128, 2050, 64}}) {
    SCOPED_TRACE(testing::Message() << m << " x " << k << " x " << n);
    const at::Tensor a = at::randn({m, k}).to(GetParam()), b = at::randn({k, n}).to(GetParam());
    const at::Tensor there = at::randn({m, n}), product = in_fp64(a, b);
    const at::Tensor sum = there.clone(), fresh = at::full({m, n}, NAN);
    fp32_product_into(sum, a, b, /*adds=*/true);
    EXPECT_LE(test::relative_rms(sum, product + there), kTolerance);
    fp32_product_into(fresh, a, b, /*adds=*/false);
    EXPECT_LE(test::relative_rms(fresh, product), kTolerance);
  }
}

// Parts of panels, several panels, several strips of rows, several pieces of the depth and of the columns.
TEST_P(Fp32Product, TakesAnySizeInAnyLayout) {
  constexpr std::int64_t kSizes[][3] = {{1, 1, 1},     {1, 768, 130},  {64, 32, 64},  {65, 33, 63},
                                        {3, 1025, 70}, {200, 2050, 9}, {70, 96, 4200}};
  for (const auto& [m, k, n] : kSizes) {
    const at::Tensor a = at::randn({m, k}).to(GetParam()), b = at::randn({k, n}).to(GetParam());
    const at::Tensor a_by_columns = a.t().contiguous().t(), b_by_columns = b.t().contiguous().t();
    const at::Tensor a_with_gaps =
        at::zeros({2 * m, 3 * k}, a.options()).slice(0, 0, 2 * m, 2).slice(1, 0, 3 * k, 3);
    a_with_gaps.copy_(a);
    const at::Tensor expected = in_fp64(a, b);
    for (const at::Tensor& left : {a, a_by_columns, a_with_gaps}) {
      for (const at::Tensor& right : {b, b_by_columns}) {
        SCOPED_TRACE(testing::Message() << m << " x " << k << " x " << n);
        const at::Tensor around = at::full({m, n + 2}, 7.0F);
        fp32_product_into(around.narrow(1, 1, n), left, right, /*adds=*/false);
        EXPECT_LE(test::relative_rms(around.narrow(1, 1, n), expected), kTolerance);
        EXPECT_TRUE(around.select(1, 0).eq(7).all().item<bool>()) << "written before its rows";
        EXPECT_TRUE(around.select(1, n + 1).eq(7).all().item<bool>()) << "written behind its rows";
      }
    }
  }
}

TEST_P(Fp32Product, OfNothingIsNothing) {
  const auto zeros = [](std::int64_t rows, std::int64_t columns) {
    return at::zeros({rows, columns}, GetParam());
  };
  EXPECT_TRUE(fp32_product(zeros(3, 0), zeros(0, 5)).equal(at::zeros({3, 5})));
  EXPECT_EQ(fp32_product(zeros(0, 4), zeros(4, 5)).numel(), 0);
  EXPECT_EQ(fp32_product(zeros(4, 4), zeros(4, 0)).numel(), 0);
}

TEST_P(Fp32Product, ShowsWhatIsNotANumberWhereItBelongs) {
  const at::Tensor a = at::randn({70, 100}).to(GetParam()), b = at::randn({100, 70}).to(GetParam());
  a[66][99] = NAN;
  EXPECT_TRUE(fp32_product(a, b).isnan().any(1).equal(a.isnan().any(1)));
}

INSTANTIATE_TEST_SUITE_P(Types, Fp32Product, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) { return type.param == at::kFloat ? "fp32" : "bf16"; });

TEST(Bf16Product, GivesTheSameBitsForEveryNumberOfThreads) {
  if (!cpu::multiplies_bf16()) GTEST_SKIP() << "this processor has no products of bf16 numbers";
  const at::Tensor a = at::randn({1500, 130}, at::kBFloat16).t(), b = at::randn({1500, 700}, at::kBFloat16);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = fp32_product(a, b);
  at::set_num_threads(5);
  const at::Tensor five = fp32_product(a, b);
  at::set_num_threads(threads);
  EXPECT_TRUE(five.equal(one));
}

/// A panel as it should be, of vectors that are the rows of `vectors`.
at::Tensor panel_of(const at::Tensor& vectors, cpu::PanelOrder order, std::int64_t depth) {
  const at::Tensor panel = at::zeros({cpu::kPanelVectors, depth}, at::kBFloat16);
  panel.narrow(0, 0, vectors.size(0)).narrow(1, 0, vectors.size(1)).copy_(vectors);
  if (order == cpu::PanelOrder::kLeft) return panel;
  return panel.view({cpu::kPanelVectors, depth / 2, 2}).transpose(0, 1).contiguous();
}

VRWKV_TEST_EACH_INSTRUCTION_SET(Bf16Panel, IsPackedFromEitherLayout, {
  using cpu::PanelOrder;
  for (const std::int64_t count : {1, 17, 64}) {
    for (const std::int64_t depth : {1, 31, 96}) {
      const std::int64_t padded = (depth + cpu::kPanelDepth - 1) / cpu::kPanelDepth * cpu::kPanelDepth;
      const at::Tensor rows = at::randn({count, depth}, at::kBFloat16), columns = rows.t().contiguous();
      const auto* row_data = static_cast<const Bf16*>(rows.const_data_ptr());
      const auto* column_data = static_cast<const Bf16*>(columns.const_data_ptr());
      for (const PanelOrder order : {PanelOrder::kLeft, PanelOrder::kRight}) {
        for (const cpu::Bf16Vectors& vectors : {cpu::Bf16Vectors{row_data, depth, 1, count, depth},
                                                cpu::Bf16Vectors{column_data, 1, count, count, depth}}) {
          const at::Tensor panel = at::full({cpu::kPanelVectors * padded}, NAN, at::kBFloat16);
          set::pack_panel(vectors, order, padded, static_cast<Bf16*>(panel.data_ptr()));
          EXPECT_TRUE(panel.equal(panel_of(rows, order, padded).flatten()));
        }
      }
    }
  }
})

}  // namespace
}  // namespace vrwkv::kernels
