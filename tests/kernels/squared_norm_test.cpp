// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_norm/squared_norm.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "kernels/squared_norm/squared_norm_reference.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

TEST(SquaredNorm, SumsEveryBlockInFp64) {
  for (const std::int64_t numel : {std::int64_t{0}, std::int64_t{1}, std::int64_t{17}, kNormBlock - 1,
                                   kNormBlock, kNormBlock + 1, 3 * kNormBlock + 31}) {
    at::manual_seed(numel);
    const at::Tensor flat = at::randn({numel}) * 1e-3;
    const at::Tensor expected = squared_norm_blocks_reference(flat);
    const test::NanFilledFreshMemory fresh;
    const at::Tensor actual = squared_norm_blocks(flat);
    ASSERT_EQ(actual.sizes(), expected.sizes());
    // Two orders of summing 65,536 positive terms in fp64.
    EXPECT_TRUE(at::allclose(actual, expected, 1e-13, 0.0)) << numel;
  }
}

TEST(SquaredNorm, GivesABlockTheSameBitsWhereverItLiesAndWhoeverComputesIt) {
  const at::Tensor flat = at::randn({5 * kNormBlock + 7});
  const at::Tensor whole = squared_norm_blocks(flat);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor from_the_second =
      squared_norm_blocks(flat.narrow(0, kNormBlock, flat.numel() - kNormBlock));
  at::set_num_threads(threads);
  EXPECT_TRUE(from_the_second.equal(whole.narrow(0, 1, 5)));
  at::set_num_threads(3);
  EXPECT_TRUE(squared_norm_blocks(flat).equal(whole));
  at::set_num_threads(threads);
}

VRWKV_TEST_EACH_INSTRUCTION_SET(SquaredNormInstructionSets, GivesTheBitsOfAll, {
  for (const std::int64_t numel : {std::int64_t{1}, std::int64_t{33}, 3 * kNormSegment + 7, kNormBlock}) {
    const at::Tensor flat = at::randn({numel});
    EXPECT_EQ(set::sum_of_squares(flat.const_data_ptr<float>(), numel),
              squared_norm_blocks(flat).item<double>());
  }
})

TEST(SquaredNorm, KeepsWhatFp32WouldLoseAndShowsNan) {
  at::Tensor flat = at::full({kNormBlock}, 1e-30F);
  EXPECT_NEAR(squared_norm_blocks(flat).item<double>() / (kNormBlock * 1e-60), 1.0, 1e-6);
  flat[100] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(squared_norm_blocks(flat).item<double>()));
}

TEST(SquaredNorm, RefusesWhatIsNotFlat) {
  EXPECT_THROW(squared_norm_blocks(at::zeros({2, 3})), ShapeError);
  EXPECT_THROW(squared_norm_blocks(at::zeros({8}).slice(0, 0, 8, 2)), ShapeError);
  EXPECT_THROW(squared_norm_blocks(at::zeros({8}, at::kDouble)), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
