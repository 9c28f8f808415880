// SPDX-License-Identifier: Apache-2.0
#include "trainer/loss_rows.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "trainer/block_schedule.h"

namespace vrwkv::trainer {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kNone = data::kIgnoreIndex;

/// Three sequences: one with two answers, one without any, one that begins with a label (which nothing
/// predicts).
///     position   0   1   2   3   4   5   6 |  7   8 |  9  10  11
///     token     10  11  12  13  14  15  16 | 20  21 | 30  31  32
///     label      -   -  12   -  14  15   - |  -   - | 30   -  32
data::MicroBatch example() {
  data::MicroBatch batch;
  batch.token_ids = at::tensor({10, 11, 12, 13, 14, 15, 16, 20, 21, 30, 31, 32}, at::kLong);
  batch.labels = at::tensor({kNone, kNone, std::int64_t{12}, kNone, std::int64_t{14}, std::int64_t{15}, kNone,
                             kNone, kNone, std::int64_t{30}, kNone, std::int64_t{32}},
                            at::kLong);
  batch.sequence_starts = at::tensor({0, 7, 9}, at::kLong);
  batch.image_starts = at::empty({0}, at::kLong);
  batch.targets = {3, 0, 1};
  return batch;
}

template <class Value>
std::vector<Value> values(const at::Tensor& tensor) {
  return {tensor.data_ptr<Value>(), tensor.data_ptr<Value>() + tensor.numel()};
}

TEST(LossRows, APositionPredictsTheNextLabelOfItsOwnSequence) {
  const LossRows rows = select_loss_rows(example(), L2Wrap::kSupervised, /*global_samples=*/8);
  EXPECT_THAT(values<std::int64_t>(rows.positions), ElementsAre(1, 3, 4, 10));
  // Not position 8: the label at 9 belongs to the next sequence.
  EXPECT_THAT(values<std::int64_t>(rows.targets), ElementsAre(12, 14, 15, 32));
  EXPECT_THAT(rows.sequences, ElementsAre(0, 0, 0, 2));
}

TEST(LossRows, ARowWeighsOneOverItsSamplesTargetsAndTheGlobalBatch) {
  const LossRows rows = select_loss_rows(example(), L2Wrap::kSupervised, /*global_samples=*/8);
  EXPECT_THAT(values<float>(rows.weights), ElementsAre(1.0F / 24, 1.0F / 24, 1.0F / 24, 1.0F / 8));
}

TEST(LossRows, ThePenaltyChoosesRowsAndCountsThem) {
  const data::MicroBatch batch = example();
  const auto rows = [&](L2Wrap l2wrap) { return select_loss_rows(batch, l2wrap, 8); };
  EXPECT_EQ(rows(L2Wrap::kSupervised).positions.numel(), penalty_positions(batch, L2Wrap::kSupervised));
  EXPECT_EQ(rows(L2Wrap::kAll).positions.numel(), penalty_positions(batch, L2Wrap::kAll));
  EXPECT_TRUE(rows(L2Wrap::kOff).positions.equal(rows(L2Wrap::kSupervised).positions));
  EXPECT_EQ(penalty_positions(batch, L2Wrap::kSupervised), 4);
  EXPECT_EQ(penalty_positions(batch, L2Wrap::kAll), 12);
  EXPECT_EQ(penalty_positions(batch, L2Wrap::kOff), 0);
}

TEST(LossRows, WithThePenaltyEverywhereOtherRowsHaveNoTarget) {
  const LossRows rows = select_loss_rows(example(), L2Wrap::kAll, 8);
  EXPECT_TRUE(rows.positions.equal(at::arange(12, at::kLong)));
  EXPECT_THAT(values<std::int64_t>(rows.targets),
              ElementsAre(kNone, 12, kNone, 14, 15, kNone, kNone, kNone, kNone, kNone, 32, kNone));
}

TEST(LossRows, LossesAddUpToSampleMeansAndTheirShareOfTheGlobalBatch) {
  const LossRows rows = select_loss_rows(example(), L2Wrap::kSupervised, 8);
  std::vector<double> sample_losses(3, 0.0);
  double loss = 0;
  rows.add_up(at::tensor({1.0F, 2.0F, 4.5F, 3.0F}), 8, sample_losses, loss);
  EXPECT_THAT(sample_losses, ElementsAre(DoubleEq(2.5), DoubleEq(0.0), DoubleEq(3.0)));
  EXPECT_DOUBLE_EQ(loss, 5.5 / 8);
}

TEST(LossRows, TheSameLossesWithThePenaltyEverywhere) {
  const LossRows rows = select_loss_rows(example(), L2Wrap::kAll, 8);
  at::Tensor losses = at::zeros({12});
  losses.index_copy_(0, at::tensor({1, 3, 4, 10}, at::kLong), at::tensor({1.0F, 2.0F, 4.5F, 3.0F}));
  std::vector<double> sample_losses(3, 0.0);
  double loss = 0;
  rows.add_up(losses, 8, sample_losses, loss);
  EXPECT_THAT(sample_losses, ElementsAre(DoubleEq(2.5), DoubleEq(0.0), DoubleEq(3.0)));
  EXPECT_DOUBLE_EQ(loss, 5.5 / 8);
}

TEST(LossRows, AnEmptyMicroBatchHasNone) {
  const data::MicroBatch batch = data::pack({}, {});
  for (const L2Wrap l2wrap : {L2Wrap::kSupervised, L2Wrap::kAll, L2Wrap::kOff}) {
    const LossRows rows = select_loss_rows(batch, l2wrap, 8);
    EXPECT_EQ(rows.positions.numel(), 0);
    EXPECT_THAT(rows.sequences, IsEmpty());
    EXPECT_EQ(penalty_positions(batch, l2wrap), 0);
  }
}

}  // namespace
}  // namespace vrwkv::trainer
