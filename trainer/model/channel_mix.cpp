// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/channel_mix.h"

#include <ATen/ATen.h>

#include <cmath>

#include "kernels/norm_shift_mix/norm_shift_mix.h"
#include "kernels/relu_squared/relu_squared.h"

namespace vrwkv::model {

ChannelMix::ChannelMix(const LanguageModelConfig& config, std::int64_t layer,
                       const ParameterFactory& parameters) {
  const std::int64_t width = config.n_embd;
  const auto channels = static_cast<double>(width);
  const double q = 1 - static_cast<double>(layer) / static_cast<double>(config.n_layer);
  x_k_ = parameters.per_channel("x_k", width, [=](std::int64_t i) {
    return 1 - std::pow(static_cast<double>(i) / channels, std::pow(q, 4));
  });
  key_ = parameters.uniform("key.weight", {4 * width, width}, 0.5 / std::sqrt(channels));
  value_ = parameters.constant("value.weight", {width, 4 * width}, 0);
}

at::Tensor ChannelMix::operator()(const at::Tensor& x, const LayerNorm& norm,
                                  const at::Tensor& sequence_starts, LayerState* state) const {
  const kernels::NormShiftMix shifted =
      kernels::norm_shift_mix(x.squeeze(0), norm.weight(), norm.bias(), norm.epsilon(), {x_k_},
                              sequence_starts, state != nullptr ? state->ffn_shift.squeeze(0) : at::Tensor());
  if (state != nullptr) state->ffn_shift = shifted.last.unsqueeze(0);
  const at::Tensor mixed =
      shifted.mixed.squeeze(0);  // its gradient is a view, that of mixed[0] would be a copy
  const at::Tensor hidden = kernels::relu_squared(project(mixed, key_));
  return project(hidden, value_, shifted.x).unsqueeze(0);
}

}  // namespace vrwkv::model
