// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw/adamw.h"

#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include "common/error.h"
#include "kernels/adamw/adamw_reference.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

using test::relative_rms;

constexpr AdamwStep kStep{
    .learning_rate = 3e-3, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .step = 1};

struct Parameters {
  at::Tensor master, exp_avg, exp_avg_sq;
};

Parameters fresh_parameters(std::int64_t numel, at::ScalarType type) {
  at::manual_seed(numel);
  return {at::randn({numel}).to(type), at::zeros({numel}, type), at::zeros({numel}, type)};
}

TEST(Adamw, FollowsTheReferenceOverManySteps) {
  constexpr double kScale = 0.37;
  for (const std::int64_t numel : {1, 15, 16, 17, 40001}) {
    Parameters actual = fresh_parameters(numel, at::kFloat);
    Parameters expected = fresh_parameters(numel, at::kDouble);
    AdamwStep step = kStep;
    for (step.step = 1; step.step <= 20; ++step.step) {
      const at::Tensor gradient = at::randn({numel});
      adamw_update(actual.master, actual.exp_avg, actual.exp_avg_sq, gradient, kScale, step);
      adamw_update_reference(expected.master, expected.exp_avg, expected.exp_avg_sq, gradient.to(at::kDouble),
                             kScale, step);
    }
    // Twenty roundings of each value.
    EXPECT_LE(relative_rms(actual.master, expected.master), 1e-6) << numel;
    EXPECT_LE(relative_rms(actual.exp_avg, expected.exp_avg), 1e-6) << numel;
    EXPECT_LE(relative_rms(actual.exp_avg_sq, expected.exp_avg_sq), 1e-6) << numel;
  }
}

TEST(Adamw, AgreesWithLibTorchsOptimizer) {
  Parameters ours = fresh_parameters(1000, at::kFloat);
  at::Tensor theirs = ours.master.clone().requires_grad_();
  torch::optim::AdamW optimizer({theirs}, torch::optim::AdamWOptions(kStep.learning_rate)
                                              .betas({kStep.beta1, kStep.beta2})
                                              .eps(kStep.epsilon)
                                              .weight_decay(kStep.weight_decay));
  AdamwStep step = kStep;
  for (step.step = 1; step.step <= 10; ++step.step) {
    const at::Tensor gradient = at::randn({1000});
    theirs.mutable_grad() = gradient.clone();
    optimizer.step();
    adamw_update(ours.master, ours.exp_avg, ours.exp_avg_sq, gradient, 1.0, step);
  }
  EXPECT_LE(relative_rms(ours.master, theirs), 1e-6);
}

TEST(Adamw, GivesAnElementTheSameBitsInEveryShard) {
  constexpr std::int64_t kNumel = 70001;
  Parameters whole = fresh_parameters(kNumel, at::kFloat);
  Parameters parts = fresh_parameters(kNumel, at::kFloat);
  const at::Tensor gradient = at::randn({kNumel});
  adamw_update(whole.master, whole.exp_avg, whole.exp_avg_sq, gradient, 0.5, kStep);
  for (std::int64_t begin = 0; begin < kNumel;) {
    const std::int64_t count = std::min<std::int64_t>(kNumel - begin, 1 + begin % 4099);
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, begin, count); };
    at::Tensor master = part(parts.master), exp_avg = part(parts.exp_avg),
               exp_avg_sq = part(parts.exp_avg_sq);
    adamw_update(master, exp_avg, exp_avg_sq, part(gradient), 0.5, kStep);
    begin += count;
  }
  EXPECT_TRUE(whole.master.equal(parts.master));
  EXPECT_TRUE(whole.exp_avg_sq.equal(parts.exp_avg_sq));
}

TEST(Adamw, RefusesWhatDoesNotFit) {
  Parameters p = fresh_parameters(8, at::kFloat);
  const at::Tensor gradient = at::zeros({8});
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({7}), 1.0, kStep), ShapeError);
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({8, 1}), 1.0, kStep), ShapeError);
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({8}, at::kDouble), 1.0, kStep),
               ShapeError);
  EXPECT_THROW(
      adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({16}).slice(0, 0, 16, 2), 1.0, kStep),
      ShapeError);
  AdamwStep zeroth = kStep;
  zeroth.step = 0;
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, gradient, 1.0, zeroth), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
