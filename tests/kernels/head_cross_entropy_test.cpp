// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/head_cross_entropy.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <string>

#include "common/error.h"
#include "kernels/cross_entropy/head_cross_entropy_reference.h"
#include "kernels/cross_entropy/logit_tile.h"
#include "kernels/fp32_product/bf16_product_cpu.h"
#include "tests/kernels/tensor_testing.h"
#include "tests/support/peak_memory.h"

namespace vrwkv::kernels {
namespace {

using test::int64_list;
using test::relative_rms;

// d_hidden sums over the vocabulary in fp32: the square root of 65,536 roundings of 6e-8 is 1.5e-5, and terms
// cancel.
constexpr double kTolerance = 1e-4;

struct Inputs {
  at::Tensor hidden, head, targets, weights;
};

Inputs random_inputs(std::int64_t rows, std::int64_t vocabulary, std::int64_t channels) {
  at::manual_seed(rows + vocabulary);
  Inputs in{.hidden = at::randn({rows, channels}),
            .head = at::randn({vocabulary, channels}),
            .targets = at::randint(vocabulary, {rows}, at::kLong),
            .weights = at::rand({rows})};
  for (std::int64_t row = 2; row < rows; row += 5) in.targets[row] = kNoTarget;
  return in;
}

void expect_matches_reference(const Inputs& in, double l2wrap_scale) {
  const HeadLoss expected =
      head_cross_entropy_reference(in.hidden, in.head, in.targets, in.weights, l2wrap_scale);
  const test::NanFilledFreshMemory fresh;
  const HeadLoss actual = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, l2wrap_scale,
                                             /*with_gradients=*/true, /*with_head_gradient=*/true);
  EXPECT_LE(relative_rms(actual.losses, expected.losses), kTolerance);
  EXPECT_LE(relative_rms(actual.d_hidden, expected.d_hidden), kTolerance);
  EXPECT_LE(relative_rms(actual.d_head, expected.d_head), kTolerance);
}

TEST(HeadCrossEntropy, MatchesReferenceForSmallVocabularies) {
  for (const double l2wrap_scale : {0.0, 1e-4, 0.5}) {
    expect_matches_reference(random_inputs(1, 2, 1), l2wrap_scale);
    expect_matches_reference(random_inputs(7, 33, 5), l2wrap_scale);
    expect_matches_reference(random_inputs(64, 1000, 48), l2wrap_scale);
  }
}

TEST(HeadCrossEntropy, MatchesReferenceOverSeveralPiecesOfTheWholeVocabulary) {
  // 223 rows of 65,536 logits are a tile: two rows more, and two whole ones.
  ASSERT_EQ(logit_tile_sizes(446, 65536, 4, LogitProducts::kFp32, at::kCPU).rows, 223);
  expect_matches_reference(random_inputs(225, 65536, 8), 1e-3);
  expect_matches_reference(random_inputs(446, 65536, 4), 1e-3);
}

TEST(HeadCrossEntropy, TakesBf16OverSeveralPiecesOfRowsAndVocabulary) {
  Inputs in = random_inputs(70, 9001, 700);
  in.hidden = in.hidden.to(at::kBFloat16);
  in.head = (in.head * 0.1).to(at::kBFloat16);
  const LogitProducts products = logit_products(at::kBFloat16, at::kCPU);
  const LogitTileSizes tile = logit_tile_sizes(70, 9001, 700, products, at::kCPU);
  ASSERT_EQ(tile.columns < 9001, products == LogitProducts::kBf16Widened) << "second piece of the vocabulary";
  const HeadLoss expected = head_cross_entropy_reference(in.hidden, in.head, in.targets, in.weights, 1e-3);
  const HeadLoss actual = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-3, true, true);
  EXPECT_LE(relative_rms(actual.losses, expected.losses), kTolerance);
  EXPECT_EQ(actual.d_hidden.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_rms(actual.d_hidden, expected.d_hidden), 3e-3);  // bf16 rounds to 2^-9
  EXPECT_LE(
      relative_rms(actual.d_head, expected.d_head),
      products == LogitProducts::kBf16 ? 3e-3 : kTolerance);  // of rounded gradients, or of unrounded ones
}

/// Of temporaries, on a CPU with so many threads.
std::int64_t bytes_of_products(LogitProducts products, std::int64_t threads) {
  if (products != LogitProducts::kBf16) return 0;
  return cpu::kMostPackedBytes + threads * cpu::kMostThreadBytes;
}

TEST(HeadCrossEntropy, HoldsNoMoreThanOneTile) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Inputs in = random_inputs(480, 65536, 8);
    in.hidden = in.hidden.to(type);
    in.head = in.head.to(type);
    const LogitProducts products = logit_products(type, at::kCPU);
    const LogitTileSizes tile = logit_tile_sizes(480, 65536, 8, products, at::kCPU);
    ASSERT_LT(tile.rows, 480);
    const test::PeakMemory peak;
    const HeadLoss loss = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-3, true, true);
    const std::int64_t temporaries =
        peak.bytes() -
        static_cast<std::int64_t>(loss.losses.nbytes() + loss.d_hidden.nbytes() + loss.d_head.nbytes());
    constexpr std::int64_t kPerRow = 100;  // statistics, and flags of targets that are checked
    EXPECT_GE(temporaries, tile.bytes - tile.rows * kPerRow) << "what is counted is not what is used";
    EXPECT_LE(temporaries, tile.bytes + bytes_of_products(products, at::get_num_threads()) + 480 * kPerRow);
  }
}

TEST(HeadCrossEntropy, HoldsAtMost64MegabytesAtFullSize) {
  for (const at::DeviceType device : {at::kCPU, at::kCUDA}) {
    for (const LogitProducts products :
         {LogitProducts::kFp32, LogitProducts::kBf16, LogitProducts::kBf16Widened}) {
      for (const std::int64_t channels : {128, 768, 1024, 2048, 4096}) {
        const LogitTileSizes tile = logit_tile_sizes(16 * 2048, 65536, channels, products, device);
        const std::int64_t bytes =
            tile.bytes + (device == at::kCPU ? bytes_of_products(products, /*threads=*/32) : 0);
        EXPECT_LE(bytes, 60'000'000) << channels;  // 4 MB are left for 100 bytes a row
        EXPECT_GE(tile.rows, 128) << channels;
      }
    }
  }
}

// With the least that is of a row beside the tile: rows are as many as at full size, entries few.
TEST(HeadCrossEntropy, HoldsAtMost64MegabytesWithAllRowsChosen) {
  constexpr std::int64_t kRows = 16 * 2048;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Inputs in = random_inputs(kRows, 2048, 16);
    in.hidden = in.hidden.to(type);
    in.head = in.head.to(type);
    const at::Tensor rows = at::randperm(kRows, at::kLong);
    const test::PeakMemory peak;
    const HeadLoss loss =
        head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-3, true, true, rows);
    EXPECT_LE(peak.bytes() - static_cast<std::int64_t>(loss.losses.nbytes() + loss.d_hidden.nbytes() +
                                                       loss.d_head.nbytes()),
              64'000'000);
  }
}

TEST(HeadCrossEntropy, TakesSomeRowsInAnyOrder) {
  // 20,000 rows of 1,000 entries are two tiles.
  ASSERT_LT(logit_tile_sizes(20'000, 1000, 8, LogitProducts::kFp32, at::kCPU).rows, 20'000);
  Inputs in = random_inputs(20'000, 1000, 8);
  const at::Tensor hidden = at::randn({30'000, 8}),
                   rows = at::randperm(30'000, at::kLong).narrow(0, 0, 20'000);
  in.hidden = hidden.index_select(0, rows);
  const HeadLoss expected = head_cross_entropy_reference(in.hidden, in.head, in.targets, in.weights, 1e-3);
  const HeadLoss actual = head_cross_entropy(hidden, in.head, in.targets, in.weights, 1e-3, true, true, rows);
  EXPECT_LE(relative_rms(actual.losses, expected.losses), kTolerance);
  EXPECT_LE(relative_rms(actual.d_head, expected.d_head), kTolerance);
  const at::Tensor d_hidden = at::zeros({30'000, 8}, at::kDouble).index_copy(0, rows, expected.d_hidden);
  EXPECT_LE(relative_rms(actual.d_hidden, d_hidden), kTolerance);
  EXPECT_TRUE(
      actual.d_hidden.ne(0).any(1).logical_and(d_hidden.eq(0).all(1)).any().logical_not().item<bool>())
      << "a row that does not count has a gradient";
}

TEST(HeadCrossEntropy, RefusesRowsThatAreNotThere) {
  const Inputs in = random_inputs(3, 7, 4);
  const auto with_rows = [&](const at::Tensor& rows) {
    head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 0.0, true, true, rows);
  };
  EXPECT_THROW(with_rows(int64_list({0, 1, 3})), ShapeError);
  EXPECT_THROW(with_rows(int64_list({-1, 1, 2})), ShapeError);
  EXPECT_THROW(with_rows(int64_list({0, 1})), ShapeError) << "three targets";
  EXPECT_THROW(with_rows(at::zeros({3})), ShapeError);
}

TEST(HeadCrossEntropy, ShowsWhatIsNotANumber) {
  Inputs in = random_inputs(5, 300, 4);
  in.hidden[3][1] = NAN;
  const HeadLoss loss = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 0.0, true, true);
  EXPECT_TRUE(loss.losses.isnan().equal(in.hidden.isnan().any(1)));
  EXPECT_TRUE(loss.d_hidden.isnan().any(1).equal(in.hidden.isnan().any(1)));
  EXPECT_TRUE(loss.d_head.isnan().any().item<bool>());
}

TEST(HeadCrossEntropy, StaysFiniteForHugeLogits) {
  Inputs in = random_inputs(6, 40, 8);
  in.hidden *= 1000.0;
  expect_matches_reference(in, 1e-4);
}

TEST(HeadCrossEntropy, TakesNoRowsAtAll) {
  const Inputs in{at::empty({0, 3}), at::randn({5, 3}), at::empty({0}, at::kLong), at::empty({0})};
  const HeadLoss loss = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-4, true, true);
  EXPECT_EQ(loss.losses.numel(), 0);
  EXPECT_EQ(loss.d_hidden.sizes(), in.hidden.sizes());
  EXPECT_TRUE(loss.d_head.equal(at::zeros({5, 3})));
}

TEST(HeadCrossEntropy, PenalisesTheFirstOfEqualLogitsEvenWithoutATarget) {
  const at::Tensor head = at::tensor({1.0F, 3.0F, 3.0F, 2.0F}).view({4, 1});
  const HeadLoss loss =
      head_cross_entropy(at::full({1, 1}, 2.0F), head, int64_list({kNoTarget}), at::ones({1}),
                         /*l2wrap_scale=*/0.5, true, true);
  EXPECT_EQ(loss.losses.item<float>(), 0.0F);
  EXPECT_EQ(loss.d_hidden.item<float>(),
            6.0F * 0.5F * 3.0F);  // max_logit * scale, back through the entry of weight 3
  EXPECT_TRUE(loss.d_head.view({4}).equal(at::tensor({0.0F, 6.0F * 0.5F * 2.0F, 0.0F, 0.0F})));
}

TEST(HeadCrossEntropy, ComputesOnlyWhatIsAskedFor) {
  const Inputs in = random_inputs(9, 21, 6);
  const HeadLoss all = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-4, true, true);
  const HeadLoss no_head = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-4, true, false);
  const HeadLoss losses = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 1e-4, false, true);
  EXPECT_FALSE(no_head.d_head.defined());
  EXPECT_TRUE(no_head.d_hidden.equal(all.d_hidden));
  EXPECT_FALSE(losses.d_hidden.defined());
  EXPECT_FALSE(losses.d_head.defined());
  EXPECT_TRUE(losses.losses.equal(all.losses));
}

TEST(HeadCrossEntropy, LeavesNoTraceInAutograd) {
  Inputs in = random_inputs(3, 11, 2);
  in.head.requires_grad_();
  const HeadLoss loss = head_cross_entropy(in.hidden, in.head, in.targets, in.weights, 0.0, true, true);
  EXPECT_FALSE(loss.losses.requires_grad());
  EXPECT_FALSE(loss.d_head.requires_grad());
}

TEST(HeadCrossEntropy, RefusesWhatDoesNotFit) {
  const Inputs in = random_inputs(4, 11, 2);
  const auto run = [&](const Inputs& x) {
    head_cross_entropy(x.hidden, x.head, x.targets, x.weights, 0.0, true, true);
  };
  Inputs wrong = in;
  wrong.targets = int64_list({0, 1, 11, 2});
  try {
    run(wrong);
    FAIL() << "a target outside the vocabulary was taken";
  } catch (const ShapeError& error) {
    EXPECT_NE(std::string(error.what()).find("a target is 11 but the vocabulary has 11 entries"),
              std::string::npos);
  }
  wrong = in;
  wrong.head = at::zeros({11, 3});
  EXPECT_THROW(run(wrong), ShapeError);
  wrong.head = at::zeros({11, 2}, at::kBFloat16);
  EXPECT_THROW(run(wrong), ShapeError);
  wrong.head = at::Tensor();
  EXPECT_THROW(run(wrong), ShapeError);
  wrong = in;
  wrong.hidden = in.hidden.to(at::kDouble);
  EXPECT_THROW(run(wrong), ShapeError);
  wrong = in;
  wrong.weights = at::zeros({3});
  EXPECT_THROW(run(wrong), ShapeError);
  wrong = in;
  wrong.targets = in.targets.to(at::kInt);
  EXPECT_THROW(run(wrong), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
