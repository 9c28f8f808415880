// SPDX-License-Identifier: Apache-2.0
// squared_norm_cuda.cu, compiled for the CPU, gives the CPU's bits.
#include <gtest/gtest.h>

#include "kernels/squared_norm/squared_norm_backend.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

TEST(SquaredNormEmulated, GivesTheCpusBitsUnderEverySchedule) {
  for (const std::int64_t numel : {std::int64_t{1}, std::int64_t{17}, kNormSegment + 5, kNormBlock - 1,
                                   kNormBlock, kNormBlock + kNormSegment + 3}) {
    at::manual_seed(numel);
    const at::Tensor flat = at::randn({numel});
    const auto* values = flat.const_data_ptr<float>();
    const auto emulated = test::same_under_every_schedule([&] {
      std::vector<double> sums(static_cast<std::size_t>((numel + kNormBlock - 1) / kNormBlock), NAN);
      cuda::squared_norm_blocks(values, numel, sums.data(), /*stream=*/nullptr);
      return sums;
    });
    for (std::size_t block = 0; block < emulated.size(); ++block) {
      const std::int64_t first = static_cast<std::int64_t>(block) * kNormBlock;
      EXPECT_EQ(emulated[block],
                cpu::portable::sum_of_squares(values + first, std::min(kNormBlock, numel - first)));
    }
  }
}

}  // namespace
}  // namespace vrwkv::kernels
