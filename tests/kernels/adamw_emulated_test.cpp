// SPDX-License-Identifier: Apache-2.0
// adamw_cuda.cu, compiled for the CPU, gives the CPU's bits.
#include <gtest/gtest.h>

#include "tests/kernels/adamw_raw_call.h"
#include "tests/kernels/every_schedule.h"

namespace vrwkv::kernels {
namespace {

TEST(AdamwEmulated, GivesTheCpusBitsUnderEverySchedule) {
  for (const std::int64_t numel : {1, 255, 1024, 1025, 2600}) {
    for (const Bf16Rounding rounding :
         {Bf16Rounding::kNotAtAll, Bf16Rounding::kNearest, Bf16Rounding::kStochastic}) {
      const test::AdamwTensors start = test::random_adamw_tensors(numel);
      const auto emulated = test::same_under_every_schedule([&] {
        return test::adamw_results(
            [](const AdamwCall& call, Bf16Rounding to) { cuda::adamw(call, to, /*stream=*/nullptr); }, start,
            rounding);
      });
      const auto expected = test::adamw_results(
          [](const AdamwCall& call, Bf16Rounding to) { cpu::portable::adamw_range(call, to, 0, call.count); },
          start, rounding);
      for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(emulated[i].equal(expected[i])) << i;
    }
  }
}

}  // namespace
}  // namespace vrwkv::kernels
