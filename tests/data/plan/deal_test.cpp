// SPDX-License-Identifier: Apache-2.0
#include "data/plan/deal.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "common/random.h"
#include "tests/support/dearest_share.h"
#include "tests/support/mixture_lengths.h"

namespace vrwkv::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vrwkv::test::dearest_share;

/// Costs of each micro-batch.
std::vector<std::int64_t> sums(const std::vector<std::vector<std::int64_t>>& dealt,
                               const std::vector<std::int64_t>& costs) {
  std::vector<std::int64_t> result;
  for (const auto& samples : dealt) {
    std::int64_t sum = 0;
    for (const std::int64_t sample : samples) sum += costs[static_cast<std::size_t>(sample)];
    result.push_back(sum);
  }
  return result;
}

TEST(Deal, EverySampleIsInOneMicroBatchAndInAscendingPlaces) {
  for (const std::int64_t micro_batches : {1, 2, 3, 5, 7, 12, 30, 64, 97}) {
    for (const std::uint64_t samples : {0, 1, 2, 7, 12, 64, 131}) {
      std::vector<std::int64_t> costs;
      for (std::uint64_t i = 0; i < samples; ++i)
        costs.push_back(static_cast<std::int64_t>(mix64(i + 1) % 5));
      const auto dealt = deal(costs, micro_batches);
      ASSERT_THAT(dealt, SizeIs(micro_batches));
      std::vector<std::int64_t> all;
      for (const auto& micro_batch : dealt) {
        EXPECT_TRUE(std::is_sorted(micro_batch.begin(), micro_batch.end()));
        all.insert(all.end(), micro_batch.begin(), micro_batch.end());
      }
      std::sort(all.begin(), all.end());
      std::vector<std::int64_t> expected(samples);
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(all, expected) << micro_batches << " micro-batches, " << samples << " samples";
    }
  }
}

TEST(Deal, PairsTheDearWithTheCheap) {
  EXPECT_THAT(deal(std::vector<std::int64_t>{1, 8, 2, 7}, 2),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
  EXPECT_THAT(deal(std::vector<std::int64_t>{1, 8, 2, 7}, 4),
              ElementsAre(ElementsAre(3), ElementsAre(2), ElementsAre(1), ElementsAre(0)));
}

TEST(Deal, EqualSamplesAreDealtEvenly) {
  for (const auto& micro_batch : deal(std::vector<std::int64_t>(36, 5), 12))
    EXPECT_THAT(micro_batch, SizeIs(3));
}

TEST(Deal, FewSamplesLeaveMicroBatchesEmpty) {
  const auto dealt = deal(std::vector<std::int64_t>{4, 4}, 4);
  EXPECT_EQ(std::count_if(dealt.begin(), dealt.end(), [](const auto& one) { return one.empty(); }), 2);
  EXPECT_THAT(deal({}, 2), ElementsAre(IsEmpty(), IsEmpty()));
}

// Resumed runs must find the deal that they left. A few lines of Python gave the expected one.
TEST(Deal, IsFrozen) {
  const std::vector<std::int64_t> costs = {1100, 90,   1300, 1100, 2048, 500,
                                           1150, 1101, 1060, 1060, 700,  1234};
  EXPECT_THAT(deal(costs, 6), ElementsAre(ElementsAre(8, 9), ElementsAre(4), ElementsAre(3, 6),
                                          ElementsAre(1, 2, 5), ElementsAre(0, 7), ElementsAre(10, 11)));
}

/// What the dearest of `ranks` ranks costs over the mean at least, whoever deals: images are whole. With k
/// for images / ranks, rounded up, either some rank holds more than k images, or those that hold k are at
/// least r = images - (k - 1) * ranks, and the dearest costs as much as the mean of these does, if theirs
/// were the cheapest images of all.
double lower_bound(std::vector<std::int64_t> of_samples_with_image, std::int64_t of_all, std::int64_t ranks) {
  std::sort(of_samples_with_image.begin(), of_samples_with_image.end());
  const auto images = static_cast<std::int64_t>(of_samples_with_image.size());
  const std::int64_t k = (images + ranks - 1) / ranks, r = images - (k - 1) * ranks;
  const auto cheapest = [&](std::int64_t count) {
    return static_cast<double>(std::accumulate(of_samples_with_image.begin(),
                                               of_samples_with_image.begin() + count, std::int64_t{0}));
  };
  const double dearest =
      std::min(cheapest(std::min(k + 1, images)), cheapest(k * r) / static_cast<double>(r));
  return std::max(1.0, dearest * static_cast<double>(ranks) / static_cast<double>(of_all));
}

/// Ranks, samples a micro-batch, tokens that an image costs beside its own.
class Balance : public ::testing::TestWithParam<std::tuple<std::int64_t, std::int64_t, std::int64_t>> {};

/// 8 micro-batches a rank, lengths of the mixture in its published composition, 1,024 tokens an image.
TEST_P(Balance, TheDearestRankCostsLittleMoreThanTheMean) {
  const auto& [ranks, samples, image_cost] = GetParam();
  const std::int64_t micro_batches = 8 * ranks;
  const int steps = static_cast<int>(std::max<std::int64_t>(3, 320 / ranks));
  double dealt_mean = 0, consecutive_mean = 0, least = 0, limit = 0;
  std::uint64_t drawn = 0;
  for (int step = 0; step < steps; ++step) {
    std::vector<std::int64_t> costs, with_image;
    for (std::int64_t i = 0; i < micro_batches * samples; ++i) {
      const auto [text, images] =
          test::mixture_length(static_cast<std::int64_t>(mix64(++drawn) % test::kMixtureSamples));
      costs.push_back(std::min<std::int64_t>(text + 1024 * images, 2048) + images * image_cost);
      if (images == 1) with_image.push_back(costs.back());
    }
    dealt_mean += dearest_share(sums(deal(costs, micro_batches), costs), ranks) / steps;
    consecutive_mean += dearest_share(costs, ranks) / steps;
    const double bound =
        lower_bound(with_image, std::accumulate(costs.begin(), costs.end(), std::int64_t{0}), ranks);
    least += bound / steps;
    limit += std::max(1.005, bound) / steps;
  }
  fmt::print(
      "{} ranks, {} samples a micro-batch, image {}: dearest over mean {:.4f}, at least {:.4f}, undealt "
      "{:.4f}\n",
      ranks, samples, image_cost, dealt_mean, least, consecutive_mean);
  // deal() stops at 1.005 of the mean; 0.002 is what exchanges may leave of what could be had.
  EXPECT_LE(dealt_mean, limit + 0.002);
  EXPECT_GT(consecutive_mean, 1.02) << "without a deal it would be no better: this test could not fail";
}

// An image costs 360 tokens more in the largest published model, 1,419 in the next, 5,100 in the smallest.
INSTANTIATE_TEST_SUITE_P(Ranks, Balance,
                         ::testing::Combine(::testing::Values(8, 64, 1024), ::testing::Values(1, 2, 4),
                                            ::testing::Values(360, 1419, 5100)));

TEST(Deal, SharesOfAnyDivisorAreBalanced) {
  std::vector<std::int64_t> costs;
  for (std::int64_t i = 0; i < 480; ++i)
    costs.push_back(1024 +
                    test::mixture_length(static_cast<std::int64_t>(mix64(i + 7) % 600000)).text_tokens);
  const auto micro_batches = sums(deal(costs, 120), costs);
  for (const std::int64_t ranks : {1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 30, 40})
    EXPECT_LT(dearest_share(micro_batches, ranks), 1.02) << ranks;
}

}  // namespace
}  // namespace vrwkv::data
