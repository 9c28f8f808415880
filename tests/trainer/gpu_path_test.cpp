// SPDX-License-Identifier: Apache-2.0
// The whole path on a GPU, compared with the CPU.
#include "tests/support/gpu_test.h"
#include "tests/trainer/path_outcome.h"

namespace vrwkv::trainer {
namespace {

using test::expect_near;
using test::run_path;

class GpuPath : public test::OnGpu<> {
 protected:
  void set_up_on_gpu() override { use(fp32_); }

  const Compute fp32_{.device = {c10::kCUDA, 0}, .type = c10::kFloat};
  const Compute bf16_{.device = {c10::kCUDA, 0}, .type = c10::kBFloat16};
};

TEST_F(GpuPath, GivesTheCpusLossAndGradientsInFp32) {
  expect_near(run_path(fp32_), run_path({}), test::kPathFp32Tolerance);
}

TEST_F(GpuPath, GivesThemUpToRoundingInBf16) {
  for (const std::int64_t head_size : {32, 64}) {
    SCOPED_TRACE(head_size);
    expect_near(run_path(bf16_, {.head_size = head_size}), run_path({}, {.head_size = head_size}),
                test::kPathBf16Tolerance);
  }
}

TEST_F(GpuPath, GivesTheSameBitsAgainAndWithRecomputation) {
  for (const std::int64_t head_size : {32, 64}) {
    SCOPED_TRACE(head_size);
    const test::PathOutcome once = run_path(bf16_, {.head_size = head_size});
    EXPECT_TRUE(run_path(bf16_, {.head_size = head_size}).gradient.equal(once.gradient));
    const test::PathOutcome again =
        run_path(bf16_, {.recompute = {true, true, true}, .head_size = head_size});
    EXPECT_TRUE(again.gradient.equal(once.gradient));
  }
}

}  // namespace
}  // namespace vrwkv::trainer
