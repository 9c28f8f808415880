// SPDX-License-Identifier: Apache-2.0
#include "trainer/learning_rate_schedule.h"

#include <gtest/gtest.h>

namespace vrwkv::trainer {
namespace {

// Computed with the original's my_lr.
TEST(LearningRateSchedule, GivesTheOriginalsRates) {
  const LearningRateSchedule stage_1 = {.initial = 1e-3, .final = 5e-5, .warmup_steps = 0, .steps = 2000};
  EXPECT_DOUBLE_EQ(stage_1.at(0), 9.999994139923592e-4);
  EXPECT_DOUBLE_EQ(stage_1.at(999), 5.25e-4);
  EXPECT_DOUBLE_EQ(stage_1.at(1000), 5.242538720516054e-4);
  EXPECT_DOUBLE_EQ(stage_1.at(1999), 5e-5);
  const LearningRateSchedule stage_2 = {.initial = 6e-5, .final = 1.5e-5, .warmup_steps = 0, .steps = 15000};
  EXPECT_DOUBLE_EQ(stage_2.at(0), 5.9999999506519786e-5);
  EXPECT_DOUBLE_EQ(stage_2.at(7499), 3.75e-5);
  EXPECT_DOUBLE_EQ(stage_2.at(7500), 3.749528761105407e-5);
  EXPECT_DOUBLE_EQ(stage_2.at(14999), 1.5e-5);
}

TEST(LearningRateSchedule, WarmsUpFromATenthAndThenFollowsTheCosine) {
  const LearningRateSchedule schedule = {.initial = 1e-2, .final = 1e-3, .warmup_steps = 10, .steps = 110};
  // Before its start the cosine stands at the initial rate.
  EXPECT_DOUBLE_EQ(schedule.at(0), 1e-3);
  EXPECT_DOUBLE_EQ(schedule.at(5), 1e-2 * 0.55);
  EXPECT_DOUBLE_EQ(schedule.at(9), 1e-2 * 0.91);
  // Then it takes 100 updates; half way is half way between the rates.
  EXPECT_LT(schedule.at(10), 1e-2);
  EXPECT_DOUBLE_EQ(schedule.at(59), 5.5e-3);
  EXPECT_DOUBLE_EQ(schedule.at(109), 1e-3);
  for (std::int64_t s = 10; s < 109; ++s) EXPECT_GT(schedule.at(s), schedule.at(s + 1)) << s;
}

TEST(LearningRateSchedule, EqualRatesStayExactlyConstant) {
  const LearningRateSchedule schedule = {.initial = 3e-4, .final = 3e-4, .warmup_steps = 0, .steps = 7};
  for (std::int64_t s = 0; s < 7; ++s) EXPECT_EQ(schedule.at(s), 3e-4);
}

TEST(LearningRateSchedule, StaysAtTheFinalRateBeyondTheLastStep) {
  const LearningRateSchedule schedule = {.initial = 1e-3, .final = 1e-4, .warmup_steps = 2, .steps = 5};
  EXPECT_DOUBLE_EQ(schedule.at(5), 1e-4);
  EXPECT_DOUBLE_EQ(schedule.at(500), 1e-4);
}

TEST(LearningRateSchedule, OneStepAndAWarmUpAsLongAsTheRunAreNumbers) {
  EXPECT_DOUBLE_EQ((LearningRateSchedule{.initial = 1e-3, .final = 1e-4, .steps = 1}.at(0)), 1e-4);
  const LearningRateSchedule all_warmup = {.initial = 1e-3, .final = 1e-4, .warmup_steps = 4, .steps = 4};
  EXPECT_DOUBLE_EQ(all_warmup.at(0), 1e-4);
  EXPECT_DOUBLE_EQ(all_warmup.at(3), 1e-3 * (0.1 + 0.9 * 0.75));
  const LearningRateSchedule longer = {.initial = 1e-3, .final = 1e-4, .warmup_steps = 8, .steps = 4};
  EXPECT_DOUBLE_EQ(longer.at(3), 1e-3 * (0.1 + 0.9 * 0.375));
}

}  // namespace
}  // namespace vrwkv::trainer
