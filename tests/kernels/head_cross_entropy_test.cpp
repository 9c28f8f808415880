// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/head_cross_entropy.h"

#include <gtest/gtest.h>

#include <string>

#include "common/error.h"
#include "kernels/cross_entropy/head_cross_entropy_reference.h"
#include "tests/kernels/tensor_testing.h"

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
  // 128 rows of 65,536 logits are a piece: one row more, and two whole ones.
  expect_matches_reference(random_inputs(129, 65536, 8), 1e-3);
  expect_matches_reference(random_inputs(256, 65536, 4), 1e-3);
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
  wrong = in;
  wrong.weights = at::zeros({3});
  EXPECT_THROW(run(wrong), ShapeError);
  wrong = in;
  wrong.targets = in.targets.to(at::kInt);
  EXPECT_THROW(run(wrong), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
