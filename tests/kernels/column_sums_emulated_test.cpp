// SPDX-License-Identifier: Apache-2.0
// column_sums_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <gtest/gtest.h>

#include "kernels/column_sums/column_sums_backend.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

TEST(ColumnSumsEmulated, AddTheRowsWithTheSameBitsUnderEverySchedule) {
  for (const auto& [row_count, columns] : {std::pair{1, 1}, {15, 32}, {37, 70}, {200, 33}}) {
    const at::Tensor rows = at::randn({row_count, columns});
    const at::Tensor sums = test::same_under_every_schedule([&] {
      at::Tensor written = at::full({columns}, NAN);
      cuda::column_sums(rows.const_data_ptr<float>(), row_count, columns, written.data_ptr<float>(),
                        /*stream=*/nullptr);
      return written;
    });
    // Up to 200 additions, each rounded to 2^-24 of a sum that grows like a random walk.
    EXPECT_LE(test::relative_rms(sums, rows.to(at::kDouble).sum(0)), 1e-6);
  }
}

}  // namespace
}  // namespace vrwkv::kernels
