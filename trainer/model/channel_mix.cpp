// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/channel_mix.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "kernels/token_shift/token_shift.h"
#include "trainer/model/token_mix.h"

namespace vrwkv::model {
namespace {

/// relu(x)^2 for the widest tensor of the model: autograd's own derivative would take four passes over it and
/// keep two tensors, this one takes two and keeps one.
class ReluSquared : public torch::autograd::Function<ReluSquared> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    const at::Tensor positive = at::relu(x);
    context->save_for_backward({positive});
    return positive * positive;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {at::mul(gradients[0], context->get_saved_variables()[0]).mul_(2)};
  }
};

}  // namespace

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
  const at::Tensor mixed = token_mix(x.squeeze(0), shifted.squeeze(0), {x_k_.view({-1})})[0];
  return at::mm(ReluSquared::apply(at::mm(mixed, key_.t())), value_.t()).unsqueeze(0);
}

}  // namespace vrwkv::model
