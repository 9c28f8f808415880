// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum/tree_sum.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "kernels/tree_sum/tree_sum_reference.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/tensor_testing.h"
#include "tests/kernels/tree_sum_cases.h"

namespace vrwkv::kernels {
namespace {

using test::TreeSumCase;

TEST(TreeSum, GivesTheBitsOfOneAdditionAfterTheOther) {
  for (const TreeSumCase& c : test::kTreeSumCases) {
    const auto values = test::random_values(c);
    const at::Tensor expected = tree_sum_reference(values, c.merges);
    at::Tensor sum = at::full({c.count}, NAN);
    tree_sum(values, c.merges, sum);
    EXPECT_TRUE(sum.equal(expected)) << c.count;
  }
}

TEST(TreeSum, LeavesTheValuesAloneButTheOneThatBecomesTheSum) {
  const TreeSumCase& c = test::kTreeSumCases[2];
  const at::Tensor expected = tree_sum_reference(test::random_values(c), c.merges);
  for (std::size_t place = 0; place < static_cast<std::size_t>(c.values); ++place) {
    auto values = test::random_values(c);
    tree_sum(values, c.merges, values[place]);
    EXPECT_TRUE(values[place].equal(expected));
    const auto before = test::random_values(c);
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i].equal(before[i]), i != place);
  }
}

const TreeSumCase kLong{70001, test::kTreeSumCases[4].merges, 7};

TEST(TreeSum, GivesTheSameBitsForEveryNumberOfThreads) {
  const auto values = test::random_values(kLong);
  const at::Tensor expected = tree_sum_reference(values, kLong.merges);
  const int threads = at::get_num_threads();
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    EXPECT_TRUE(test::tree_sum_result(cpu::tree_sum, kLong, values).equal(expected));
  }
  at::set_num_threads(threads);
}

VRWKV_TEST_EACH_INSTRUCTION_SET(TreeSumInstructionSets, GivesTheReferencesBits, {
  const auto values = test::random_values(kLong);
  const auto by_range = [](const TreeSum& call) {
    const at::Tensor scratch = at::full({set::tree_sum_scratch_floats(call)}, NAN);
    std::vector<const float*> stack(static_cast<std::size_t>(call.depth));
    set::tree_sum_range(call, 0, call.count, scratch.data_ptr<float>(), stack.data());
  };
  EXPECT_TRUE(test::tree_sum_result(by_range, kLong, values).equal(tree_sum_reference(values, kLong.merges)));
})

TEST(TreeSum, KeepsFewSumsAtOnce) {
  EXPECT_EQ(addition_order(1024, test::level_by_level(1024)).depth, 11U);
  EXPECT_EQ(addition_order(3000, test::level_by_level(3000)).depth, 12U);
  const AdditionOrder unused = addition_order(4, std::vector<Merge>{{0, 3}});
  ASSERT_EQ(unused.steps.size(), 2U);
  EXPECT_EQ(unused.steps[1].value, 3U);
  EXPECT_EQ(unused.steps[1].additions, 1U);
}

TEST(TreeSum, TakesNoElements) {
  at::Tensor sum = at::empty({0});
  tree_sum({at::empty({0}), at::empty({0})}, std::vector<Merge>{{0, 1}}, sum);
}

TEST(TreeSum, RefusesWhatDoesNotFit) {
  at::Tensor sum = at::zeros({8});
  const std::vector<Merge> merges = {{0, 1}};
  EXPECT_THROW(tree_sum({}, {}, sum), ShapeError);
  EXPECT_THROW(tree_sum({sum}, merges, sum), ShapeError);
  EXPECT_THROW(tree_sum({sum, sum}, std::vector<Merge>{{0, 2}}, sum), ShapeError);
  std::vector<Merge> chain;
  for (std::size_t right = 65; right > 0; --right) chain.push_back({right - 1, right});
  EXPECT_THROW(tree_sum(std::vector<at::Tensor>(66, sum), chain, sum), ShapeError) << "65 sums at once";
  EXPECT_THROW(tree_sum({sum, at::zeros({7})}, merges, sum), ShapeError);
  EXPECT_THROW(tree_sum({sum, at::zeros({8}, at::kDouble)}, merges, sum), ShapeError);
  EXPECT_THROW(tree_sum({sum, at::zeros({16}).slice(0, 0, 16, 2)}, merges, sum), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
