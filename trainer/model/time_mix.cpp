// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/time_mix.h"

#include <ATen/ATen.h>

#include <cmath>

#include "kernels/token_shift/token_shift.h"
#include "kernels/wkv7/wkv7.h"
#include "trainer/model/token_mix.h"

namespace vrwkv::model {
namespace {

/// GroupNorm's: LayerNorm's epsilon times the square of head_size_divisor = 8.
constexpr double kGroupEpsilon = 64e-5;
/// The reference divides by max(norm, this), as torch's normalize does.
constexpr double kLeastNorm = 1e-12;
constexpr double kLowRankGain = 0.1;

/// (1, 1, C) -> (C). A view: its gradient is one too, where that of x[0][0] would be a copy.
at::Tensor flat(const at::Tensor& x) { return x.view({-1}); }

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

  x_r_ = mix("x_r", 0.2 * q, 0);
  x_w_ = mix("x_w", 0.9 * q, 0);
  x_k_ = mix("x_k", 0.9 * q, 0.4 * p);
  x_v_ = mix("x_v", 0.4 * q, 0.6 * p);
  x_a_ = mix("x_a", 0.9 * q, 0);
  x_g_ = mix("x_g", 0.2 * q, 0);
  w0_ = parameters.per_channel("w0", width, [=](std::int64_t i) {
    return -7 + 5 * std::pow(static_cast<double>(i) / (channels - 1), 0.85 + std::sqrt(p)) + 0.5;
  });
  a0_ = constant("a0", 0);
  w1_ = down("w1", config.decay_rank);
  w2_ = up("w2", config.decay_rank);
  a1_ = down("a1", config.iclr_rank);
  a2_ = up("a2", config.iclr_rank);
  if (layer > 0) {
    v0_ = constant("v0", 1);
    v1_ = down("v1", config.value_rank);
    v2_ = up("v2", config.value_rank);
  }
  g1_ = down("g1", config.gate_rank);
  g2_ = up("g2", config.gate_rank);
  k_k_ = constant("k_k", 0.85);
  k_a_ = constant("k_a", 1);
  r_k_ = parameters.constant("r_k", {heads_, head_size_}, 0);
  receptance_ = parameters.uniform("receptance.weight", {width, width}, bound);
  key_ = parameters.uniform("key.weight", {width, width}, bound / 10);
  value_ = parameters.uniform("value.weight", {width, width}, bound);
  output_ = parameters.constant("output.weight", {width, width}, 0);
  ln_x_weight_ = parameters.constant("ln_x.weight", {width}, 1);
  ln_x_bias_ = parameters.constant("ln_x.bias", {width}, 0);
}

TimeMix::Result TimeMix::operator()(const at::Tensor& x, const at::Tensor& v_first,
                                    const at::Tensor& sequence_starts, LayerState* state) const {
  const at::Tensor shifted =
      kernels::token_shift(x, sequence_starts, state != nullptr ? state->att_shift : at::Tensor());
  if (state != nullptr) state->att_shift = last_tokens(x, sequence_starts);
  // Without the batch axis, matrix products need no reshaping.
  const Inputs in = inputs(x.squeeze(0), shifted.squeeze(0), v_first);
  const at::Tensor y = at::mm(attend(in, sequence_starts, state) * in.g, output_.t());
  return {y.unsqueeze(0), layer_ == 0 ? in.v.unsqueeze(0) : v_first};
}

TimeMix::Inputs TimeMix::inputs(const at::Tensor& x, const at::Tensor& shifted,
                                const at::Tensor& v_first) const {
  const std::vector<at::Tensor> m =
      token_mix(x, shifted, {flat(x_r_), flat(x_w_), flat(x_k_), flat(x_v_), flat(x_a_), flat(x_g_)});
  const at::Tensor &m_r = m[0], &m_w = m[1], &m_k = m[2], &m_v = m[3], &m_a = m[4], &m_g = m[5];
  Inputs in;
  in.r = at::mm(m_r, receptance_.t());
  in.w = at::log_sigmoid(at::addmm(flat(w0_), at::tanh(at::mm(m_w, w1_)), w2_)) - 0.5;
  in.k = at::mm(m_k, key_.t());
  in.v = at::mm(m_v, value_.t());
  if (layer_ > 0)
    in.v = at::lerp(in.v, v_first.squeeze(0), at::sigmoid(at::addmm(flat(v0_), at::mm(m_v, v1_), v2_)));
  in.a = at::sigmoid(at::addmm(flat(a0_), at::mm(m_a, a1_), a2_));
  in.g = at::mm(at::sigmoid(at::mm(m_g, g1_)), g2_);
  return in;
}

at::Tensor TimeMix::attend(const Inputs& in, const at::Tensor& sequence_starts, LayerState* state) const {
  const std::int64_t tokens = in.r.size(0);
  const auto by_head = [&](const at::Tensor& x) { return x.view({1, tokens, heads_, head_size_}); };
  const at::Tensor r = by_head(in.r);
  const at::Tensor v = by_head(in.v);
  const at::Tensor scaled_k = by_head(in.k * flat(k_k_));
  const at::Tensor kk =
      scaled_k / at::linalg_vector_norm(scaled_k, 2, {-1}, /*keepdim=*/true).clamp_min(kLeastNorm);
  const at::Tensor k = by_head(in.k * at::addcmul(1 - flat(k_a_), in.a, flat(k_a_)));
  const kernels::Wkv7Result wkv =
      kernels::wkv7(r, by_head(in.w), k, v, -kk, kk * by_head(in.a), sequence_starts,
                    state != nullptr ? state->wkv : at::Tensor());
  if (state != nullptr) state->wkv = wkv.final_state;
  // GroupNorm of single tokens is LayerNorm over each head; that has the faster kernels, above all backward.
  const at::Tensor normed = at::layer_norm(wkv.y, {head_size_}, {}, {}, kGroupEpsilon).view_as(in.r);
  const at::Tensor bonus = (r * k * r_k_).sum(-1, /*keepdim=*/true);
  return at::addcmul(by_head(at::addcmul(ln_x_bias_, normed, ln_x_weight_)), bonus, v).view_as(in.r);
}

}  // namespace vrwkv::model
