// SPDX-License-Identifier: Apache-2.0
#include "data/mixture_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

class MixtureOrderTest : public ::testing::Test {
 protected:
  DataSource source(const std::string& name, int samples, double weight = 1) {
    std::string array = "[";
    for (int i = 0; i < samples; ++i)
      array += fmt::format("{}{{\"id\": {}, \"conversations\": []}}", i == 0 ? "" : ",", i);
    return {.file = test::write_file(directory_.path() / name, array + "]"),
            .image_folder = {},
            .weight = weight};
  }
  Mixture mixture(const std::vector<DataSource>& sources) { return {sources, test::tokenizer(), {}}; }
  test::TemporaryDirectory directory_;
};

TEST_F(MixtureOrderTest, OneWholeSourceHasTheSamplersOrder) {
  const Mixture mix = mixture({source("a.json", 37)});
  for (const auto kind : {SampleOrder::kBijection, SampleOrder::kVisualRwkv}) {
    const MixtureOrder order(mix, 5, kind);
    const Sampler sampler(37, 5, kind);
    for (std::int64_t position = 0; position < 200; ++position)
      ASSERT_EQ(order.at(position), sampler.at(position));
  }
}

TEST_F(MixtureOrderTest, AWeightSaysHowOftenASampleComesUp) {
  const Mixture mix = mixture({source("a.json", 20), source("b.json", 30, 0.5), source("c.json", 8, 2.25)});
  const MixtureOrder order(mix, 5);
  ASSERT_EQ(order.samples_per_epoch(), 20 + 15 + 18);
  std::map<std::int64_t, int> seen;
  const std::int64_t epochs = 8;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    std::map<std::int64_t, int> now;
    for (std::int64_t i = 0; i < order.samples_per_epoch(); ++i)
      ++now[order.at(epoch * order.samples_per_epoch() + i)];
    for (const auto& [record, times] : now) {
      EXPECT_LE(times, record < 50 ? 1 : 3) << "no sample twice before the others once";
      seen[record] += times;
    }
    EXPECT_EQ(std::distance(now.begin(), now.lower_bound(20)), 20) << "weight 1: all of them";
  }
  ASSERT_EQ(seen.size(), 58U) << "every sample of every source";
  for (const auto& [record, times] : seen)
    EXPECT_EQ(times, record < 20 ? epochs : record < 50 ? epochs / 2 : epochs * 9 / 4) << record;
}

/// A pass of the original's order leaves out a few places, but takes none twice: a source that gives a tenth
/// of itself to each pass gives no sample twice in ten.
TEST(MixtureOrder, TheOriginalsOrderTakesWeightsPassByPass) {
  const MixtureOrder order({{1000, 100, false}, {35, 35, true}}, 5, SampleOrder::kVisualRwkv);
  ASSERT_EQ(order.samples_per_epoch(), 135);
  ASSERT_EQ(order.pass_length(), 131);
  std::map<std::int64_t, int> seen;
  for (std::int64_t position = 0; position < 10 * order.pass_length(); ++position) ++seen[order.at(position)];
  std::int64_t weighted = 0;
  for (const auto& [record, times] : seen) {
    if (record >= 1000) continue;
    EXPECT_EQ(times, 1) << record;
    ++weighted;
  }
  // The first pass leaves out the last four places, the others the first four.
  EXPECT_EQ(weighted, 100 + 9 * 96);
}

TEST(MixtureOrder, SaysHowManyRecordsAPassLeavesOut) {
  const auto left_out = [](const MixtureOrder& order, std::int64_t records, std::int64_t pass) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < order.pass_length(); ++i)
      seen.insert(order.at(pass * order.pass_length() + i));
    return records - std::ssize(seen);
  };
  const MixtureOrder all({{20, 20, true}, {20, 20, true}}, 5, SampleOrder::kBijection);
  EXPECT_EQ(all.left_out_per_pass(), 0);
  const MixtureOrder cubes({{20, 20, true}, {20, 20, true}}, 5, SampleOrder::kVisualRwkv);
  EXPECT_EQ(cubes.left_out_per_pass(), 40 - 29);
  for (std::int64_t pass = 0; pass < 3; ++pass) EXPECT_EQ(left_out(cubes, 40, pass), 11) << pass;
  // Ten of the places of the last source hold a sample a second time.
  const MixtureOrder weighted({{20, 20, true}, {30, 15, false}, {10, 20, false}}, 5, SampleOrder::kBijection);
  EXPECT_EQ(weighted.left_out_per_pass(), 15);
  for (std::int64_t pass = 0; pass < 3; ++pass) EXPECT_EQ(left_out(weighted, 60, pass), 15) << pass;
}

}  // namespace
}  // namespace vrwkv::data
