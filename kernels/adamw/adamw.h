// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vrwkv::kernels {

/// What one update is made with. `step` counts from 1.
struct AdamwStep {
  double learning_rate;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;
  std::int64_t step;
};

/// Where an update also writes the parameters in bf16, to be computed with.
struct Bf16Parameters {
  at::Tensor to = {};  ///< (n) bf16, contiguous, on master's device; undefined: nothing is written

  /// Rounds up or down by chance, so that on average nothing is lost: a value a quarter of the way from one
  /// bf16 number to the next becomes the next one every fourth time. Otherwise to the nearest.
  bool stochastic = false;
  std::uint64_t seed = 0;
  /// Which element of the whole model comes first here. The chance is a function of seed, step and element,
  /// so shards may be cut anywhere.
  std::int64_t first_element = 0;
};

/// One AdamW update (decoupled weight decay, bias correction), in place, in one pass over memory:
///
///     g          = gradient_scale * gradient                     (the scale is the clip factor)
///     exp_avg    = beta1 * exp_avg    + (1 - beta1) * g
///     exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g * g
///     m          = exp_avg / (1 - beta1^step)
///     v          = exp_avg_sq / (1 - beta2^step)
///     master    -= learning_rate * (m / (sqrt(v) + epsilon) + weight_decay * master)
///
/// An element's result depends on its own values alone, so it is the same in every shard; and its operations
/// are rounded one by one, so a CPU and a GPU give the same bits: denormals are zero on a GPU, and on a CPU
/// whose threads flush them (common/flush_to_zero.h). A NaN stays in its element.
///
/// @param master, exp_avg, exp_avg_sq, gradient  (n) fp32, contiguous, one device.
/// @throws ShapeError when lengths, types or devices differ, or `step.step` is below 1.
void adamw_update(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient,
                  double gradient_scale, const AdamwStep& step, const Bf16Parameters& parameters = {});

}  // namespace vrwkv::kernels
