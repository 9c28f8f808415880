// SPDX-License-Identifier: Apache-2.0
#include "data/plan/step_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/error.h"
#include "common/random.h"
#include "data/sampler.h"
#include "tests/support/mixture_lengths.h"

namespace vrwkv::data {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

constexpr std::int64_t kImageTokens = 1024;

SampleOutline mixture_outline(std::int64_t record) {
  const auto [text, images] = test::mixture_length(record);
  return {std::min<std::int64_t>(text + kImageTokens * images, 2048), images, false};
}

StepPlanner planner_of(const Sampler& sampler, StepPlanner::Options options,
                       std::function<SampleOutline(std::int64_t)> outline = mixture_outline) {
  return {[&sampler](std::int64_t position) { return sampler.at(position); }, std::move(outline),
          Substitution(sampler.samples()), options};
}

/// The records of a step by place.
std::map<std::int64_t, std::int64_t> records(const StepPlan& plan) {
  std::map<std::int64_t, std::int64_t> result;
  for (const auto& micro_batch : plan.micro_batches)
    for (const auto& sample : micro_batch) {
      EXPECT_FALSE(result.contains(sample.position)) << "a place dealt twice";
      result[sample.position] = sample.record;
    }
  return result;
}

TEST(StepPlan, HoldsThePlacesOfTheStepOnceEach) {
  const Sampler sampler(test::kMixtureSamples, 5);
  const auto planner = planner_of(sampler, {.samples = 128, .micro_batches = 32, .image_cost = 300});
  const StepPlan plan = planner.plan(1'000'000'000);
  EXPECT_EQ(plan.samples, 128);
  EXPECT_THAT(plan.micro_batches, SizeIs(32));
  const auto taken = records(plan);
  EXPECT_THAT(taken, SizeIs(128));
  for (const auto& [position, record] : taken) EXPECT_EQ(record, sampler.at(position));
  EXPECT_EQ(taken.begin()->first, 1'000'000'000);
}

TEST(StepPlan, WithTokensAStepTakesSamplesUntilItHoldsThem) {
  const Sampler sampler(test::kMixtureSamples, 5);
  const auto planner = planner_of(sampler, {.tokens = 150'000, .micro_batches = 16, .image_cost = 300});
  std::set<std::int64_t> sizes;
  std::int64_t position = 0;
  for (int step = 0; step < 20; ++step) {
    const StepPlan plan = planner.plan(position);
    std::int64_t tokens = 0, last = 0;
    for (const auto& [place, record] : records(plan)) tokens += last = mixture_outline(record).tokens;
    EXPECT_GE(tokens, 150'000);
    EXPECT_LT(tokens - last, 150'000) << "the last sample was one too many";
    sizes.insert(plan.samples);
    position = plan.position + plan.samples;
  }
  EXPECT_GT(sizes.size(), 3U) << "steps differ in their samples";
}

// What a resume relies on: nothing but the position decides, whoever planned what before.
TEST(StepPlan, AnyOfAThousandRandomPositionsIsPlannedAlike) {
  const Sampler sampler(test::kMixtureSamples, 9);
  const StepPlanner::Options options = {.tokens = 40'000, .micro_batches = 8, .image_cost = 300};
  const auto once = planner_of(sampler, options);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto position = static_cast<std::int64_t>(mix64(i + 1) % 5'000'000'000);
    const Sampler same_sampler(test::kMixtureSamples, 9);
    const StepPlan here = once.plan(position);
    const StepPlan resumed = planner_of(same_sampler, options).plan(position);
    ASSERT_EQ(here.samples, resumed.samples);
    for (std::size_t m = 0; m < here.micro_batches.size(); ++m) {
      ASSERT_EQ(here.micro_batches[m].size(), resumed.micro_batches[m].size());
      for (std::size_t s = 0; s < here.micro_batches[m].size(); ++s)
        ASSERT_EQ(here.micro_batches[m][s].record, resumed.micro_batches[m][s].record);
    }
  }
}

TEST(StepPlan, KnownBadSamplesAreReplacedByRule) {
  const Sampler sampler(24, 1);
  const Substitution substitution(24);
  const std::set<std::int64_t> bad = {sampler.at(3), sampler.at(substitution.position(3, 1)), sampler.at(7)};
  const auto outline = [&](std::int64_t record) -> SampleOutline { return {10, 0, bad.contains(record)}; };
  const StepPlan plan = planner_of(sampler, {.samples = 12, .micro_batches = 4}, outline).plan(0);
  const auto taken = records(plan);
  EXPECT_EQ(taken.at(3), sampler.at(substitution.position(3, 2)));
  EXPECT_EQ(taken.at(7), sampler.at(substitution.position(7, 1)));
  for (const auto& micro_batch : plan.micro_batches)
    for (const auto& sample : micro_batch)
      EXPECT_EQ(sample.attempt, sample.position == 3 ? 2 : sample.position == 7 ? 1 : 0);
}

TEST(StepPlan, NothingButBadSamplesIsAnError) {
  const Sampler sampler(24, 1);
  const auto all_bad = [](std::int64_t) -> SampleOutline { return {10, 0, true}; };
  const auto planner = planner_of(sampler, {.samples = 12, .micro_batches = 4}, all_bad);
  try {
    planner.plan(36);
    FAIL() << "it planned";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("position 36 of the data order: its sample and all 23 that would"));
  }
}

TEST(StepPlan, AStepInTokensTakesNoMoreThanAPass) {
  const Sampler sampler(24, 1);
  const auto plan_of = [&](std::int64_t tokens_each, std::int64_t tokens) {
    const auto outline = [=](std::int64_t) -> SampleOutline { return {tokens_each, 0, false}; };
    return planner_of(sampler, {.tokens = tokens, .micro_batches = 4}, outline).plan(5);
  };
  EXPECT_EQ(plan_of(10, 240).samples, 24);
  EXPECT_THAT([&] { plan_of(10, 241); }, ThrowsMessage<DataError>(HasSubstr("24 samples holds 240 tokens")));
  EXPECT_THAT([&] { plan_of(0, 1); }, ThrowsMessage<DataError>(HasSubstr("24 samples holds 0 tokens")));
}

TEST(StepPlan, AStepOfNothingIsRefused) {
  const Sampler sampler(24, 1);
  EXPECT_THROW(planner_of(sampler, {.micro_batches = 4}), ConfigError);
  EXPECT_THROW(planner_of(sampler, {.samples = 4, .micro_batches = 0}), ConfigError);
}

}  // namespace
}  // namespace vrwkv::data
