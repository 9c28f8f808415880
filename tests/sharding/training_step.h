// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "common/random.h"
#include "sharding/flat_parameters.h"
#include "sharding/grad_norm.h"
#include "sharding/gradient_reducer.h"
#include "sharding/leaf_sums.h"
#include "sharding/sharded_adamw.h"

/// A few optimizer steps of a made-up model, whose gradients depend on step and micro-batch only.
namespace vrwkv::test {

/// fp32 over many magnitudes, so that the order of additions shows in the bits.
inline at::Tensor scattered_values(const std::vector<std::int64_t>& shape, std::uint64_t seed) {
  at::Tensor values = at::empty(shape, at::kFloat);
  float* element = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const std::uint64_t bits = mix64(seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(i + 1));
    const double unit = static_cast<double>(bits >> 11) * 0x1p-53 - 0.5;
    element[i] = static_cast<float>(std::ldexp(unit, static_cast<int>(bits % 17) - 8));
  }
  return values;
}

/// Matrices, vectors and odd lengths: about 3.2 shard blocks, with padding between parameters and at the end.
inline std::vector<NamedTensor> example_parameters() {
  const std::vector<std::vector<std::int64_t>> shapes{{300, 301}, {1, 1, 77}, {5},       {256, 256},
                                                      {1, 9},     {3, 5, 7},  {200, 260}};
  std::vector<NamedTensor> tensors;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    tensors.push_back({"blocks." + std::to_string(i) + ".weight", scattered_values(shapes[i], 1000 + i)});
  return tensors;
}

inline at::Tensor micro_batch_gradient(std::int64_t step, std::int64_t leaf, std::size_t parameter,
                                       const std::vector<std::int64_t>& shape) {
  const auto seed = static_cast<std::uint64_t>(step * 1'000'000 + leaf * 1000) + parameter;
  return scattered_values(shape, mix64(seed));
}

/// What must have the same bits on every rank of every world size.
struct StepResults {
  std::vector<double> norms;
  std::vector<double> losses;
  at::Tensor parameters;
};

inline kernels::AdamwStep example_update(std::int64_t step) {
  kernels::AdamwStep update;
  update.learning_rate = 1e-2;
  update.beta1 = 0.9;
  update.beta2 = 0.99;
  update.epsilon = 1e-8;
  update.weight_decay = 0.1;
  update.step = step;
  return update;
}

inline StepResults run_steps(sharding::Collectives& collectives, std::int64_t micro_batches,
                             std::int64_t bucket_elements, std::int64_t steps) {
  sharding::FlatParameters parameters(example_parameters());
  const sharding::ShardLayout layout(parameters.numel(), collectives.size());
  sharding::GradientReducer reducer(layout, collectives, micro_batches, bucket_elements);
  sharding::ShardedAdamw optimizer(parameters, layout, collectives);
  StepResults results;
  for (std::int64_t step = 1; step <= steps; ++step) {
    std::vector<double> losses;
    for (std::int64_t leaf = reducer.leaves().begin; leaf < reducer.leaves().end; ++leaf) {
      const auto views = parameters.views(reducer.leaf());
      for (std::size_t i = 0; i < views.size(); ++i)
        views[i].add_(micro_batch_gradient(step, leaf, i, parameters.entries()[i].shape));
      reducer.finish_leaf();
      losses.push_back(scattered_values({1}, static_cast<std::uint64_t>(step * 100 + leaf)).item<float>());
    }
    const at::Tensor gradient = reducer.reduce();
    results.norms.push_back(sharding::global_grad_norm(gradient, layout, collectives));
    results.losses.push_back(sharding::sum_over_leaves(losses, micro_batches, collectives));
    optimizer.step(gradient, 1.0 / results.norms.back(), example_update(step));
  }
  EXPECT_LE(reducer.buffers(), std::max<std::int64_t>(1, sharding::most_partial_sums(reducer.leaves())));
  results.parameters = parameters.flat().clone();
  return results;
}

inline void expect_same_bits(const StepResults& actual, const StepResults& expected,
                             const std::string& what) {
  EXPECT_EQ(actual.norms, expected.norms) << what;
  EXPECT_EQ(actual.losses, expected.losses) << what;
  EXPECT_TRUE(actual.parameters.view(at::kInt).equal(expected.parameters.view(at::kInt))) << what;
}

}  // namespace vrwkv::test
