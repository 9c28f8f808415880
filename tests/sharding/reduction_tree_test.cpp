// SPDX-License-Identifier: Apache-2.0
#include "sharding/reduction_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/error.h"

namespace vrwkv::sharding {
namespace {

struct Case {
  std::vector<float> leaves;
  float sum = 0;
};

/// Sums that tools/fixtures/reduction_tree.py computed level by level.
std::vector<Case> fixture() {
  std::ifstream file(VRWKV_TEST_FIXTURES "/sharding/reduction_tree.txt");
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::size_t count = 0;
    words >> count;
    std::vector<float> values;
    for (std::uint32_t bits = 0; words >> std::hex >> bits;) values.push_back(std::bit_cast<float>(bits));
    Case one{.leaves = values, .sum = values.back()};
    one.leaves.pop_back();
    EXPECT_EQ(one.leaves.size(), count);
    cases.push_back(one);
  }
  return cases;
}

/// What one rank is left with, and how many values it held at most.
std::vector<float> accumulate(const std::vector<float>& leaves, const LeafRange& range,
                              std::int64_t& most_held) {
  std::vector<float> held;
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
    held.push_back(leaves[static_cast<std::size_t>(leaf)]);
    most_held = std::max(most_held, static_cast<std::int64_t>(held.size()));
    for (int carry = carries_after(range, leaf); carry > 0; --carry) {
      const float right = held.back();
      held.pop_back();
      held.back() += right;
    }
  }
  return held;
}

float sum_over_ranks(const std::vector<float>& leaves, int world_size) {
  const auto count = static_cast<std::int64_t>(leaves.size());
  std::vector<TreeNode> nodes;
  std::vector<float> values;
  for (int rank = 0; rank < world_size; ++rank) {
    const LeafRange range = leaf_range(count, rank, world_size);
    std::int64_t most_held = 0;
    const auto held = accumulate(leaves, range, most_held);
    EXPECT_EQ(most_held, most_partial_sums(range));
    const auto subtrees = maximal_subtrees(range);
    EXPECT_EQ(held.size(), subtrees.size()) << count << " leaves, rank " << rank << " of " << world_size;
    values.insert(values.end(), held.begin(), held.end());
    nodes.insert(nodes.end(), subtrees.begin(), subtrees.end());
  }
  for (const auto& [left, right] : merge_plan(count, nodes)) values[left] += values[right];
  return values.front();
}

TEST(ReductionTree, GivesTheSameBitsForEveryWorldSize) {
  const auto cases = fixture();
  ASSERT_GT(cases.size(), 40U);
  for (const Case& one : cases)
    for (int world_size = 1; world_size <= static_cast<int>(one.leaves.size()) + 3; ++world_size)
      EXPECT_EQ(std::bit_cast<std::uint32_t>(sum_over_ranks(one.leaves, world_size)),
                std::bit_cast<std::uint32_t>(one.sum))
          << one.leaves.size() << " leaves over " << world_size << " ranks";
}

// Guards the test above: if the order made no difference, it would prove nothing.
TEST(ReductionTree, OrderMattersForTheFixture) {
  int differing = 0;
  for (const Case& one : fixture()) {
    float sum = 0;
    for (const float leaf : one.leaves) sum += leaf;
    if (sum != one.sum) ++differing;
  }
  EXPECT_GT(differing, 20);
}

TEST(ReductionTree, RanksShareTheLeavesEvenlyAndInOrder) {
  EXPECT_EQ(leaf_range(8, 1, 4), (LeafRange{2, 4}));
  for (int world_size = 1; world_size <= 12; ++world_size) {
    std::int64_t next = 0;
    for (int rank = 0; rank < world_size; ++rank) {
      const LeafRange range = leaf_range(10, rank, world_size);
      EXPECT_EQ(range.begin, next);
      EXPECT_GE(range.size(), 10 / world_size);
      EXPECT_LE(range.size(), (10 + world_size - 1) / world_size);
      next = range.end;
    }
    EXPECT_EQ(next, 10);
  }
}

TEST(ReductionTree, ARankSendsOneRootWhenItsRangeIsOneSubtree) {
  EXPECT_EQ(maximal_subtrees({8, 16}), (std::vector<TreeNode>{{8, 8}}));
  EXPECT_EQ(maximal_subtrees({0, 6}), (std::vector<TreeNode>{{0, 4}, {4, 2}}));
  EXPECT_EQ(maximal_subtrees({3, 6}), (std::vector<TreeNode>{{3, 1}, {4, 2}}));
  EXPECT_TRUE(maximal_subtrees({5, 5}).empty());
}

TEST(ReductionTree, HoldsLogarithmicallyManySums) {
  for (int height = 0; height < 10; ++height) {
    const std::int64_t size = std::int64_t{1} << height;
    EXPECT_EQ(most_partial_sums({3 * size, 4 * size}), height + 1);
  }
  for (std::int64_t begin = 0; begin < 70; ++begin)
    for (std::int64_t size = 1; size < 70; ++size)
      EXPECT_LE(most_partial_sums({begin, begin + size}),
                2 * std::bit_width(static_cast<std::uint64_t>(size)) - 1)
          << begin << " + " << size;
}

TEST(ReductionTree, RefusesNodesThatDoNotCoverTheLeaves) {
  const std::vector<TreeNode> gap{{0, 2}, {3, 1}};
  EXPECT_THROW(merge_plan(4, gap), ShapeError);
  const std::vector<TreeNode> surplus{{0, 2}, {2, 1}, {3, 1}};
  EXPECT_THROW(merge_plan(3, surplus), ShapeError);
  EXPECT_THROW(merge_plan(0, surplus), ShapeError);
}

}  // namespace
}  // namespace vrwkv::sharding
