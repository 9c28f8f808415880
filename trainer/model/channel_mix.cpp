// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/channel_mix.h"

#include <torch/torch.h>

#include <cmath>

#include "kernels/token_shift/token_shift.h"

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

at::Tensor ChannelMix::operator()(const at::Tensor& x, const at::Tensor& sequence_starts,
                                  LayerState* state) const {
  const at::Tensor shifted =
      kernels::token_shift(x, sequence_starts, state != nullptr ? state->ffn_shift : at::Tensor());
  if (state != nullptr) state->ffn_shift = last_tokens(x, sequence_starts);
  const at::Tensor mixed = at::addcmul(x, shifted - x, x_k_)[0];
  const at::Tensor hidden = at::relu(at::mm(mixed, key_.t()));
  return at::mm(hidden * hidden, value_.t()).unsqueeze(0);
}

}  // namespace vrwkv::model
