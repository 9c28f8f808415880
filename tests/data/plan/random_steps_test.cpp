// SPDX-License-Identifier: Apache-2.0
// 100,000 random steps: whatever the mix of samples without, with one and with many images, good and bad,
// each place of the step is in one micro-batch of one rank, or the step asks for more than a pass holds.
#include <gtest/gtest.h>

#include <vector>

#include "common/error.h"
#include "common/random.h"
#include "data/plan/step_plan.h"
#include "data/sampler.h"

namespace vrwkv::data {
namespace {

/// Numbers in [0, limit), one after the other.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::int64_t roll(std::int64_t limit) {
    return static_cast<std::int64_t>(mix64(++state_ * 0x9e3779b97f4a7c15ULL) %
                                     static_cast<std::uint64_t>(limit));
  }

 private:
  std::uint64_t state_;
};

/// What kind of samples a step is made of.
SampleOutline random_outline(Dice& dice, std::int64_t kind) {
  const std::int64_t most_images = std::vector<std::int64_t>{0, 1, 12}[static_cast<std::size_t>(kind)];
  const std::int64_t images = most_images == 1 ? 1 : dice.roll(most_images + 1);
  return {dice.roll(1000) + images * 256, images, /*is_bad=*/dice.roll(20) == 0};
}

std::int64_t tokens_of(const StepPlan& plan) {
  std::int64_t tokens = 0;
  for (const auto& micro_batch : plan.micro_batches)
    for (const PlannedSample& sample : micro_batch) tokens += sample.outline.tokens;
  return tokens;
}

TEST(RandomSteps, EveryPlaceIsInOneMicroBatchOfOneRank) {
  Dice dice(1);
  std::int64_t without_images = 0, replaced = 0, empty = 0, refused = 0;
  for (int schedule = 0; schedule < 100'000; ++schedule) {
    const std::int64_t records = 1 + dice.roll(40);
    const std::int64_t micro_batches = 1 + dice.roll(16);
    const std::int64_t kind = dice.roll(4);  // 3: all kinds
    std::vector<SampleOutline> outlines;
    for (std::int64_t i = 0; i < records; ++i)
      outlines.push_back(random_outline(dice, kind < 3 ? kind : dice.roll(3)));
    outlines[static_cast<std::size_t>(dice.roll(records))].is_bad = false;
    StepPlanner::Options options{.micro_batches = micro_batches,
                                 .image_cost = dice.roll(2) * dice.roll(6000)};
    (dice.roll(2) == 0 ? options.samples : options.tokens) = 1 + dice.roll(64);
    if (options.tokens > 0) options.tokens *= 100;
    if (dice.roll(50) == 0)
      for (SampleOutline& outline : outlines) outline.tokens = 0;  // as if none could be rendered
    const Sampler sampler(records, static_cast<std::uint64_t>(schedule));
    const auto planner = [&](const StepPlanner::Options& how) {
      return StepPlanner([&](std::int64_t position) { return sampler.at(position); },
                         [&](std::int64_t record) { return outlines[static_cast<std::size_t>(record)]; },
                         Substitution(records), how);
    };
    const std::int64_t position = dice.roll(1'000'000);
    if (tokens_of(planner({.samples = records}).plan(position)) < options.tokens) {
      ASSERT_THROW(planner(options).plan(position), DataError) << "schedule " << schedule;
      ++refused;
      continue;
    }
    const StepPlan plan = planner(options).plan(position);

    ASSERT_EQ(static_cast<std::int64_t>(plan.micro_batches.size()), micro_batches);
    std::vector<int> times(static_cast<std::size_t>(plan.samples));
    std::int64_t images = 0;
    for (const auto& micro_batch : plan.micro_batches) {
      empty += micro_batch.empty() ? 1 : 0;
      for (const PlannedSample& sample : micro_batch) {
        ++times.at(static_cast<std::size_t>(sample.position - plan.position));
        ASSERT_FALSE(outlines[static_cast<std::size_t>(sample.record)].is_bad);
        images += sample.outline.images;
        replaced += sample.attempt > 0 ? 1 : 0;
      }
    }
    without_images += images == 0 ? 1 : 0;
    for (const int count : times) ASSERT_EQ(count, 1) << "schedule " << schedule;
  }
  EXPECT_GT(without_images, 20'000);
  EXPECT_GT(replaced, 10'000);
  EXPECT_GT(empty, 10'000);
  EXPECT_GT(refused, 1'000) << "steps of more tokens than a pass over the data holds";
}

}  // namespace
}  // namespace vrwkv::data
