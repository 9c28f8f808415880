// SPDX-License-Identifier: Apache-2.0
#include "kernels/column_sums/column_sums.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

TEST(ColumnSums, AddTheRowsOfAnyShape) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{1, 1}, {3, 2, 17}, {513, 100}}) {
    const at::Tensor rows = at::randn(sizes);
    const test::NanFilledFreshMemory fresh;
    const at::Tensor sums = column_sums(rows);
    EXPECT_EQ(sums.sizes(), rows.sizes().slice(1));
    // Up to 513 additions, each rounded to 2^-24 of a sum that grows like a random walk.
    EXPECT_LE(test::relative_rms(sums, rows.to(at::kDouble).sum(0)), 1e-6);
  }
}

TEST(ColumnSums, GiveTheSameBitsForAnyNumberOfThreads) {
  const at::Tensor rows = at::randn({700, 1000});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor alone = column_sums(rows);
  at::set_num_threads(3);
  const at::Tensor together = column_sums(rows);
  at::set_num_threads(threads);
  EXPECT_TRUE(together.equal(alone));
}

TEST(ColumnSums, RefuseWhatIsNoMatrixOfFloats) {
  EXPECT_THROW(column_sums(at::zeros({3})), ShapeError);
  EXPECT_THROW(column_sums(at::zeros({0, 3})), ShapeError);
  EXPECT_THROW(column_sums(at::zeros({3, 4}).t()), ShapeError);
  EXPECT_THROW(column_sums(at::zeros({3, 4}, at::kDouble)), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
