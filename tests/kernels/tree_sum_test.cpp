// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum/tree_sum.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "kernels/tree_sum/tree_sum_reference.h"
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

TEST(TreeSum, GivesTheSameBitsForEveryNumberOfThreadsAndInstructionSet) {
  const TreeSumCase c{70001, test::kTreeSumCases[4].merges, 7};
  const auto values = test::random_values(c);
  const at::Tensor expected = tree_sum_reference(values, c.merges);
  const int threads = at::get_num_threads();
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    EXPECT_TRUE(test::tree_sum_result(cpu::tree_sum, c, values).equal(expected));
  }
  at::set_num_threads(threads);
  const auto by = [&](auto range, auto scratch_floats) {
    return test::tree_sum_result(
        [&](const TreeSum& call) {
          const at::Tensor scratch = at::full({scratch_floats(call)}, NAN);
          std::vector<const float*> operands(static_cast<std::size_t>(call.value_count));
          range(call, 0, call.count, scratch.template data_ptr<float>(), operands.data());
        },
        c, values);
  };
  EXPECT_TRUE(by(cpu::portable::tree_sum_range, cpu::portable::tree_sum_scratch_floats).equal(expected));
#if defined(__x86_64__)
  if (cpu::has_avx2()) {
    EXPECT_TRUE(by(cpu::avx2::tree_sum_range, cpu::avx2::tree_sum_scratch_floats).equal(expected));
  }
#endif
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
  EXPECT_THROW(tree_sum({sum, at::zeros({7})}, merges, sum), ShapeError);
  EXPECT_THROW(tree_sum({sum, at::zeros({8}, at::kDouble)}, merges, sum), ShapeError);
  EXPECT_THROW(tree_sum({sum, at::zeros({16}).slice(0, 0, 16, 2)}, merges, sum), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
