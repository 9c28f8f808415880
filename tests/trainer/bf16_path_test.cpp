// SPDX-License-Identifier: Apache-2.0
// The bf16 path of a GPU, with the same roundings on the CPU: there it is slow, but it is everywhere.
#include <gtest/gtest.h>

#include "tests/trainer/path_outcome.h"

namespace vrwkv::trainer {
namespace {

TEST(Bf16Path, GivesTheLossAndGradientsOfFp32UpToRounding) {
  for (const std::int64_t head_size : {32, 64}) {
    SCOPED_TRACE(head_size);
    test::expect_near(test::run_path({.device = c10::kCPU, .type = c10::kBFloat16}, {.head_size = head_size}),
                      test::run_path({}, {.head_size = head_size}), test::kPathBf16Tolerance);
  }
}

// Sums of bf16 numbers in fp32, rounded to bf16 and widened again, would end in sixteen zeros.
TEST(Bf16Path, LeavesGradientsOfMatricesUnrounded) {
  const model::VisualRwkv model = test::tiny_model(/*seed=*/5);
  const sharding::FlatParameters parameters(
      trainer::TrainableParts::of_stage(2).trainable(model.parameters()));
  const at::Tensor gradient = test::run_path({.device = c10::kCPU, .type = c10::kBFloat16}).gradient;
  for (std::size_t i = 0; i < parameters.entries().size(); ++i) {
    if (!parameters.entries()[i].decays) continue;
    const at::Tensor view = parameters.view(gradient, i);
    EXPECT_FALSE(view.equal(view.to(at::kBFloat16).to(at::kFloat))) << parameters.entries()[i].name;
  }
}

}  // namespace
}  // namespace vrwkv::trainer
