// SPDX-License-Identifier: Apache-2.0
#include "trainer/core_share.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>

#include "tests/trainer/tiny_run.h"
#include "trainer/open_data.h"

namespace vrwkv::trainer {
namespace {

using Masks = std::vector<std::string>;

TEST(CoreShare, RanksThatMayRunAnywhereShareTheNode) {
  EXPECT_EQ(share_of_cores(Masks{std::string(64, '1')}, 0), 64);
  EXPECT_EQ(share_of_cores(Masks(4, std::string(64, '1')), 2), 16);
  EXPECT_EQ(share_of_cores(Masks(3, std::string(64, '1')), 2), 21);
  EXPECT_EQ(share_of_cores(Masks(8, std::string(4, '1')), 0), 0) << "more ranks than cores";
}

TEST(CoreShare, TheCoresOfABoundRankAreItsOwn) {
  EXPECT_EQ(share_of_cores(Masks{"1", "01", "001", "0001"}, 1), 1);
  EXPECT_EQ(share_of_cores(Masks{"11110000", "00001111"}, 0), 4);
  // A container's cores, fewer than the machine's, which four ranks share.
  EXPECT_EQ(share_of_cores(Masks(4, "0000111111110000"), 3), 2);
  // Two ranks on each of two sockets.
  EXPECT_EQ(share_of_cores(Masks{"11110000", "11110000", "00001111", "00001111"}, 1), 2);
  EXPECT_EQ(share_of_cores(Masks{"111", "111", "111"}, 1), 1) << "three thirds";
}

TEST(CoreShare, TheMaskFollowsTheAffinity) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  const std::string before = core_mask();
  EXPECT_EQ(std::count(before.begin(), before.end(), '1'), CPU_COUNT(&all));
  const std::size_t last = before.size() - 1;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(core_mask(), std::string(last, '0') + '1');
  ASSERT_EQ(::sched_setaffinity(0, sizeof all, &all), 0);
}

TEST(CoreShare, ThreadsThatReadLeaveThoseThatCompute) {
  const auto config = test::tiny_run_config("/nowhere");
  EXPECT_EQ(reading_threads(config, 16), 15);
  EXPECT_EQ(reading_threads(config, 1), 1);
  EXPECT_EQ(reading_threads(config, 0), 1);
  EXPECT_EQ(reading_threads(test::tiny_run_config("/nowhere", {"run.threads_per_rank=6"}), 16), 10);
  EXPECT_EQ(reading_threads(test::tiny_run_config("/nowhere", {"data.threads=3"}), 16), 3);
}

}  // namespace
}  // namespace vrwkv::trainer
