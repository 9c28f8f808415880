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

/// What it gave: losses, the flat gradient and its parts, which are views of it, brought to the CPU.
struct PathOutcome {
  trainer::MicroBatchLoss loss;
  at::Tensor gradient;
  std::vector<NamedTensor> of_parameters;
};

struct PathOptions {
  std::vector<bool> recompute = {};  // per block, as BlockSchedule takes it
  std::int64_t head_size = 32;       // of 64, a GPU computes WKV-7 in chunks
};

inline PathOutcome run_path(const trainer::Compute& compute, PathOptions options = {}) {
  model::ModelConfig config = tiny_config();
  config.language_model.head_size = options.head_size;
  model::VisualRwkv model = tiny_model(/*seed=*/5, config);
  model.move_to(compute.device, compute.type);
  const sharding::FlatParameters parameters(
      trainer::TrainableParts::of_stage(2).trainable(model.parameters()),
      [&](const NamedTensor& parameter) { return model.rounds(parameter); });
  model.cast_frozen();
  const data::MicroBatch batch = packed({random_sample(1, 3, 4, 1), random_sample(2, 1, 2, 2),
                                         random_sample(0, 5, 6, 3), random_sample(0, 30, 20, 4)});
  const trainer::BlockSchedule schedule(
      model, parameters, {.recompute = std::move(options.recompute), .l2wrap = trainer::L2Wrap::kAll});
  const at::Tensor gradient = parameters.new_gradient();
  const trainer::MicroBatchLoss loss = schedule.run(batch, {.samples = 8, .penalty_positions = 16}, gradient);
  PathOutcome outcome{.loss = loss, .gradient = gradient.cpu(), .of_parameters = {}};
  for (std::size_t i = 0; i < parameters.entries().size(); ++i)
    outcome.of_parameters.push_back({parameters.entries()[i].name, parameters.view(outcome.gradient, i)});
  return outcome;
}

/// Relative: of the loss, and of each parameter's gradient as a root of squares.
struct PathTolerance {
  double loss, gradient;
};
/// Sums in another order.
inline constexpr PathTolerance kPathFp32Tolerance = {1e-5, 1e-4};
/// Eight bits a value, and a handful of roundings in a row: most gradients are within 5e-2, and those of a0
/// and k_a, sums over tokens that nearly cancel, within 6.4e-2. A wrong one is off by about 1.
inline constexpr PathTolerance kPathBf16Tolerance = {1e-2, 8e-2};

/// Parameter by parameter, so that a wrong gradient of a small one shows.
inline void expect_near(const PathOutcome& actual, const PathOutcome& expected,
                        const PathTolerance& tolerance) {
  EXPECT_NEAR(actual.loss.loss, expected.loss.loss, tolerance.loss * expected.loss.loss);
  ASSERT_EQ(actual.of_parameters.size(), expected.of_parameters.size());
  for (std::size_t i = 0; i < expected.of_parameters.size(); ++i) {
    const auto& [name, gradient] = expected.of_parameters[i];
    EXPECT_LE(model::test::relative_rms(actual.of_parameters[i].tensor, gradient), tolerance.gradient)
        << name;
  }
}

}  // namespace vrwkv::test
