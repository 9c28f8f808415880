// SPDX-License-Identifier: Apache-2.0
// tree_sum_cuda.cu, compiled for the CPU, gives the reference's bits.
#include <gtest/gtest.h>

#include "kernels/tree_sum/tree_sum_reference.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/tree_sum_cases.h"

namespace vrwkv::kernels {
namespace {

const auto kEmulated = [](const TreeSum& call) { cuda::tree_sum(call, /*stream=*/nullptr); };

TEST(TreeSumEmulated, GivesTheReferencesBitsUnderEverySchedule) {
  for (const test::TreeSumCase& c : test::kTreeSumCases) {
    const auto values = test::random_values(c);
    const at::Tensor sum =
        test::same_under_every_schedule([&] { return test::tree_sum_result(kEmulated, c, values); });
    EXPECT_TRUE(sum.equal(tree_sum_reference(values, c.merges))) << c.count;
  }
}

}  // namespace
}  // namespace vrwkv::kernels
