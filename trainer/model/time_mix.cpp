// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/time_mix.h"

#include <ATen/ATen.h>

#include <cmath>

#include "kernels/norm_bonus_gate/norm_bonus_gate.h"
#include "kernels/time_mix_operands/time_mix_operands.h"
#include "kernels/wkv7/wkv7.h"

namespace vrwkv::model {
namespace {

/// GroupNorm's: LayerNorm's epsilon times the square of head_size_divisor = 8.
constexpr double kGroupEpsilon = 64e-5;
constexpr double kLowRankGain = 0.1;

}  // namespace

TimeMix::TimeMix(const LanguageModelConfig& config, std::int64_t layer, const ParameterFactory& parameters)
    : layer_(layer), heads_(config.heads()), head_size_(config.head_size) {
  const std::int64_t width = config.n_embd;
  const auto channels = static_cast<double>(width);
  // p runs from 0 in the first block to 1 in the last; a single block is the first.
  const double p =
      config.n_layer > 1 ? static_cast<double>(layer) / static_cast<double>(config.n_layer - 1) : 0;
  const double q = 1 - static_cast<double>(layer) / static_cast<double>(config.n_layer);
  const auto mix = [&](const char* name, double power, double less) {
    return parameters.per_channel(name, width, [=](std::int64_t i) {
      return 1 - (std::pow(static_cast<double>(i) / channels, power) + less);
    });
  };
  const auto constant = [&](const char* name, double value) {
    return parameters.constant(name, {1, 1, width}, value);
  };
  const auto down = [&](const char* name, std::int64_t rank) {
    return parameters.constant(name, {width, rank}, 0);
  };
  const auto up = [&](const char* name, std::int64_t rank) {
    return parameters.orthogonal(name, rank, width, kLowRankGain);
  };
  const double bound = 0.5 / std::sqrt(channels);

  weights_.x_r = mix("x_r", 0.2 * q, 0);
  weights_.x_w = mix("x_w", 0.9 * q, 0);
  weights_.x_k = mix("x_k", 0.9 * q, 0.4 * p);
  weights_.x_v = mix("x_v", 0.4 * q, 0.6 * p);
  weights_.x_a = mix("x_a", 0.9 * q, 0);
  weights_.x_g = mix("x_g", 0.2 * q, 0);
  weights_.decay.bias = parameters.per_channel("w0", width, [=](std::int64_t i) {
    return -7 + 5 * std::pow(static_cast<double>(i) / (channels - 1), 0.85 + std::sqrt(p)) + 0.5;
  });
  weights_.iclr.bias = constant("a0", 0);
  weights_.decay.down = down("w1", config.decay_rank);
  weights_.decay.up = up("w2", config.decay_rank);
  weights_.iclr.down = down("a1", config.iclr_rank);
  weights_.iclr.up = up("a2", config.iclr_rank);
  if (layer > 0) {
    weights_.value_gate.bias = constant("v0", 1);
    weights_.value_gate.down = down("v1", config.value_rank);
    weights_.value_gate.up = up("v2", config.value_rank);
  }
  weights_.gate.down = down("g1", config.gate_rank);
  weights_.gate.up = up("g2", config.gate_rank);
  k_k_ = constant("k_k", 0.85);
  k_a_ = constant("k_a", 1);
  r_k_ = parameters.constant("r_k", {heads_, head_size_}, 0);
  weights_.receptance = parameters.uniform("receptance.weight", {width, width}, bound);
  weights_.key = parameters.uniform("key.weight", {width, width}, bound / 10);
  weights_.value = parameters.uniform("value.weight", {width, width}, bound);
  output_ = parameters.constant("output.weight", {width, width}, 0);
  ln_x_weight_ = parameters.constant("ln_x.weight", {width}, 1);
  ln_x_bias_ = parameters.constant("ln_x.bias", {width}, 0);
}

TimeMix::Result TimeMix::operator()(const at::Tensor& x, const LayerNorm& norm, const at::Tensor& v_first,
                                    const at::Tensor& sequence_starts, LayerState* state,
                                    std::int64_t kept_states_bytes) const {
  const TimeMixProjections in =
      project_time_mix(x.squeeze(0), norm, weights_, sequence_starts,
                       state != nullptr ? state->att_shift.squeeze(0) : at::Tensor());
  if (state != nullptr) state->att_shift = in.last.unsqueeze(0);
  const auto operands = kernels::time_mix_operands(
      in.r, in.k, in.v, in.iclr, in.v_gate, layer_ > 0 ? v_first.squeeze(0) : at::Tensor(), k_k_, k_a_, r_k_);
  const std::int64_t tokens = in.r.size(0);
  const auto by_head = [&](const at::Tensor& channels) {
    return channels.view({1, tokens, heads_, head_size_});
  };
  const kernels::Wkv7Result wkv = kernels::wkv7(
      by_head(operands.r), by_head(in.w), by_head(operands.k), by_head(operands.v), by_head(operands.a),
      by_head(operands.b), sequence_starts, state != nullptr ? state->wkv : at::Tensor(),
      {.decay_input = kernels::DecayInput::kRaw, .kept_states_bytes = kept_states_bytes});
  if (state != nullptr) state->wkv = wkv.final_state;
  const at::Tensor gated = kernels::norm_bonus_gate(wkv.y.view_as(in.r), operands.bonus, operands.bonus_v,
                                                    in.g, ln_x_weight_, ln_x_bias_, kGroupEpsilon);
  return {project(gated, output_, in.x).unsqueeze(0), operands.v_first.unsqueeze(0)};
}

}  // namespace vrwkv::model
