// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/trainer/model/fixture.h"
#include "tests/trainer/tiny_model.h"
#include "trainer/block_schedule.h"
#include "trainer/compute.h"

/// The whole path of a micro-batch (encoders, projector, blocks, head, loss, gradients) on some device and in
/// some type.
namespace vrwkv::test {

/// What it gave: losses and the flat gradient, brought to the CPU.
struct PathOutcome {
  trainer::MicroBatchLoss loss;
  at::Tensor gradient;
};

/// @param recompute  per block, as BlockSchedule takes it.
inline PathOutcome run_path(const trainer::Compute& compute, std::vector<bool> recompute = {}) {
  model::VisualRwkv model = tiny_model(/*seed=*/5);
  model.move_to(compute.device, compute.type);
  const sharding::FlatParameters parameters(
      trainer::TrainableParts::of_stage(2).trainable(model.parameters()));
  const data::MicroBatch batch = packed({random_sample(1, 3, 4, 1), random_sample(2, 1, 2, 2),
                                         random_sample(0, 5, 6, 3), random_sample(0, 30, 20, 4)});
  const trainer::BlockSchedule schedule(model, parameters,
                                        {.recompute = std::move(recompute), .l2wrap = trainer::L2Wrap::kAll});
  const at::Tensor gradient = parameters.new_gradient();
  const trainer::MicroBatchLoss loss = schedule.run(batch, {.samples = 8, .penalty_positions = 16}, gradient);
  return {.loss = loss, .gradient = gradient.cpu()};
}

/// Sums in another order.
inline constexpr double kPathFp32Tolerance = 1e-4;
/// Eight bits a value, and a handful of roundings in a row.
inline constexpr double kPathBf16Tolerance = 5e-2;

inline void expect_near(const PathOutcome& actual, const PathOutcome& expected, double tolerance) {
  EXPECT_NEAR(actual.loss.loss, expected.loss.loss, tolerance * expected.loss.loss);
  EXPECT_LE(model::test::relative_rms(actual.gradient, expected.gradient), tolerance);
}

}  // namespace vrwkv::test
