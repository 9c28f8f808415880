// SPDX-License-Identifier: Apache-2.0
// The bf16 path of a GPU, with the same roundings on the CPU: there it is slow, but it is everywhere.
#include <gtest/gtest.h>

#include "tests/trainer/path_outcome.h"

namespace vrwkv::trainer {
namespace {

TEST(Bf16Path, GivesTheLossAndGradientsOfFp32UpToRounding) {
  test::expect_near(test::run_path({.device = c10::kCPU, .type = c10::kBFloat16}), test::run_path({}),
                    test::kPathBf16Tolerance);
}

}  // namespace
}  // namespace vrwkv::trainer
