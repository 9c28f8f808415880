// SPDX-License-Identifier: Apache-2.0
#include "data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "common/error.h"

namespace vrwkv::data {
namespace {

using ::testing::ElementsAre;

std::vector<std::int64_t> epoch_of(const Sampler& sampler, std::int64_t epoch) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < sampler.samples(); ++i)
    order.push_back(sampler.at(epoch * sampler.samples() + i));
  return order;
}

class SamplerOf : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(SamplerOf, GivesEverySampleOnceInEachEpoch) {
  for (const std::uint64_t seed : {0, 1, 42}) {
    const Sampler sampler(GetParam(), seed);
    for (const std::int64_t epoch : {0, 1, 1000}) {
      auto order = epoch_of(sampler, epoch);
      std::sort(order.begin(), order.end());
      std::vector<std::int64_t> all(static_cast<std::size_t>(GetParam()));
      std::iota(all.begin(), all.end(), 0);
      ASSERT_EQ(order, all) << "seed " << seed << ", epoch " << epoch;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, SamplerOf,
                         ::testing::Values(1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64, 65, 97, 256, 257, 1000,
                                           1021, 4096, 4097, 65536, 65537));

TEST(Sampler, OrdersDifferByEpochAndSeed) {
  const Sampler sampler(1000, 1), other(1000, 2);
  EXPECT_NE(epoch_of(sampler, 0), epoch_of(sampler, 1));
  EXPECT_NE(epoch_of(sampler, 0), epoch_of(other, 0));
  EXPECT_EQ(epoch_of(sampler, 3), epoch_of(Sampler(1000, 1), 3));
}

TEST(Sampler, EveryOrderOfThreeSamplesComesUp) {
  std::set<std::vector<std::int64_t>> orders;
  const Sampler sampler(3, 0);
  for (std::int64_t epoch = 0; epoch < 200; ++epoch) orders.insert(epoch_of(sampler, epoch));
  EXPECT_EQ(orders.size(), 6U);
}

TEST(Sampler, SpreadsEachPositionOverTheSamples) {
  // 100 samples, 10,000 epochs: each sample is expected 100 times at a position, with a deviation of 10.
  const Sampler sampler(100, 5);
  for (const std::int64_t position : {0, 1, 50, 99}) {
    std::vector<int> hits(100);
    for (std::int64_t epoch = 0; epoch < 10000; ++epoch)
      ++hits[static_cast<std::size_t>(sampler.at(epoch * 100 + position))];
    EXPECT_GT(*std::min_element(hits.begin(), hits.end()), 50) << position;
    EXPECT_LT(*std::max_element(hits.begin(), hits.end()), 150) << position;
  }
}

TEST(Sampler, SeeksFarWithoutWalking) {
  const Sampler sampler(665298, 3);
  const std::int64_t billion = 1'000'000'000;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const std::int64_t sample = sampler.at(billion + i);
    EXPECT_GE(sample, 0);
    EXPECT_LT(sample, 665298);
  }
  const Sampler large(billion, 3);
  EXPECT_LT(large.at(billion - 1), billion);
  EXPECT_EQ(large.at(5 * billion + 7), Sampler(billion, 3).at(5 * billion + 7));
}

// All that is needed to go on at any position.
static_assert(sizeof(Sampler) <= 256);

TEST(Sampler, CoversTheMixtureInEveryEpoch) {
  constexpr std::int64_t kSamples = 665298;
  const Sampler sampler(kSamples, 42);
  for (const std::int64_t epoch : {0, 1, 1503}) {
    std::vector<bool> seen(kSamples);
    std::int64_t moved = 0;
    for (std::int64_t i = 0; i < kSamples; ++i) {
      const auto sample = static_cast<std::size_t>(sampler.at(epoch * kSamples + i));
      ASSERT_FALSE(seen.at(sample)) << "position " << i << " of epoch " << epoch;
      seen[sample] = true;
      moved += sampler.at((epoch + 1) * kSamples + i) != static_cast<std::int64_t>(sample) ? 1 : 0;
    }
    EXPECT_GT(moved, kSamples - 20) << "about one sample stands at the same place in the next epoch";
  }
}

TEST(Sampler, TheOriginalsOrderLeavesOutTheEndAndTurnsAround) {
  constexpr std::int64_t kSamples = 665298, kPrime = 665279;
  const Sampler sampler(kSamples, 1, SampleOrder::kVisualRwkv);
  EXPECT_EQ(sampler.at(2), 8);
  EXPECT_EQ(sampler.at(kPrime + 2), kSamples - 1 - 8);
  EXPECT_EQ(sampler.at(2 * kPrime + 2), kSamples - 1 - 8) << "later passes are alike";
  std::vector<bool> seen(kSamples);
  for (std::int64_t position = 0; position < kPrime; ++position) {
    const std::int64_t sample = sampler.at(position);
    ASSERT_LT(sample, kPrime);
    ASSERT_FALSE(seen[static_cast<std::size_t>(sample)]) << position;
    seen[static_cast<std::size_t>(sample)] = true;
  }
}

// A change here changes the data order of every run that is to be resumed.
TEST(Sampler, TheOrderIsFrozen) {
  EXPECT_THAT(epoch_of(Sampler(10, 42), 0), ElementsAre(1, 9, 0, 7, 3, 5, 2, 6, 8, 4));
  EXPECT_THAT(epoch_of(Sampler(10, 42), 1), ElementsAre(9, 0, 6, 5, 1, 3, 2, 8, 7, 4));
  EXPECT_EQ(Sampler(665298, 42).at(1'000'000'000), 73457);
}

TEST(Sampler, NeedsASample) {
  EXPECT_THROW(Sampler(0, 1), ConfigError);
  EXPECT_THROW(Sampler(-5, 1), ConfigError);
}

}  // namespace
}  // namespace vrwkv::data
