// SPDX-License-Identifier: Apache-2.0
// The whole path on a GPU, compared with the CPU.
#include <gtest/gtest.h>

#include "kernels/device/cuda_devices.h"
#include "tests/trainer/path_outcome.h"

namespace vrwkv::trainer {
namespace {

using test::expect_near;
using test::run_path;

class GpuPath : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kernels::cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
    use(fp32_);
  }

  const Compute fp32_{.device = {c10::kCUDA, 0}, .type = c10::kFloat};
  const Compute bf16_{.device = {c10::kCUDA, 0}, .type = c10::kBFloat16};
};

TEST_F(GpuPath, GivesTheCpusLossAndGradientsInFp32) {
  expect_near(run_path(fp32_), run_path({}), test::kPathFp32Tolerance);
}

TEST_F(GpuPath, GivesThemUpToRoundingInBf16) {
  expect_near(run_path(bf16_), run_path({}), test::kPathBf16Tolerance);
}

TEST_F(GpuPath, GivesTheSameBitsAgainAndWithRecomputation) {
  const test::PathOutcome once = run_path(bf16_);
  EXPECT_TRUE(run_path(bf16_).gradient.equal(once.gradient));
  EXPECT_TRUE(run_path(bf16_, {true, true, true}).gradient.equal(once.gradient));
}

}  // namespace
}  // namespace vrwkv::trainer
