// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/token_mix.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace vrwkv::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Threads share the channels, never the tokens: a sum over tokens then has one order.
constexpr std::int64_t kChannelsPerThread = 256;

void mix_row(std::int64_t channels, const float* __restrict__ x, const float* __restrict__ shifted,
             const float* __restrict__ coefficient, float* __restrict__ out) {
  for (std::int64_t i = 0; i < channels; ++i) out[i] = x[i] + (shifted[i] - x[i]) * coefficient[i];
}

/// Adds one coefficient's share: d_x gathers the plain gradient, d_shifted that of shifted - x.
void add_row_gradient(std::int64_t channels, const float* __restrict__ gradient,
                      const float* __restrict__ coefficient, float* __restrict__ d_x,
                      float* __restrict__ d_shifted) {
  for (std::int64_t i = 0; i < channels; ++i) {
    d_x[i] += gradient[i];
    d_shifted[i] += gradient[i] * coefficient[i];
  }
}

void add_coefficient_gradient(std::int64_t channels, const float* __restrict__ gradient,
                              const float* __restrict__ x, const float* __restrict__ shifted,
                              float* __restrict__ d_coefficient) {
  for (std::int64_t i = 0; i < channels; ++i) d_coefficient[i] += gradient[i] * (shifted[i] - x[i]);
}

void subtract_row(std::int64_t channels, const float* __restrict__ d_shifted, float* __restrict__ d_x) {
  for (std::int64_t i = 0; i < channels; ++i) d_x[i] -= d_shifted[i];
}

class TokenMix : public torch::autograd::Function<TokenMix> {
 public:
  /// @param inputs  x, shifted and then the coefficients.
  static variable_list forward(AutogradContext* context, at::TensorList inputs) {
    variable_list saved;
    for (const at::Tensor& input : inputs) saved.push_back(input.contiguous());
    variable_list outputs;
    for (std::size_t c = 2; c < saved.size(); ++c) outputs.push_back(at::empty_like(saved[0]));
    const std::int64_t tokens = saved[0].size(0);
    const std::int64_t width = saved[0].size(1);
    at::parallel_for(0, width, kChannelsPerThread, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = 0; t < tokens; ++t) {
        const std::int64_t at = t * width + begin;
        for (std::size_t c = 0; c < outputs.size(); ++c)
          mix_row(end - begin, read(saved[0]) + at, read(saved[1]) + at, read(saved[c + 2]) + begin,
                  write(outputs[c]) + at);
      }
    });
    context->save_for_backward(std::move(saved));
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::int64_t tokens = saved[0].size(0);
    const std::int64_t width = saved[0].size(1);
    variable_list gradients;
    for (const at::Tensor& gradient : output_gradients) gradients.push_back(gradient.contiguous());
    variable_list d_inputs = {at::empty_like(saved[0]), at::empty_like(saved[1])};
    for (std::size_t i = 2; i < saved.size(); ++i)
      d_inputs.push_back(context->needs_input_grad(i) ? at::zeros_like(saved[i]) : at::Tensor());
    at::parallel_for(0, width, kChannelsPerThread, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t channels = end - begin;
      for (std::int64_t t = 0; t < tokens; ++t) {
        const std::int64_t at = t * width + begin;
        std::fill_n(write(d_inputs[0]) + at, channels, 0.0F);
        std::fill_n(write(d_inputs[1]) + at, channels, 0.0F);
        for (std::size_t c = 0; c < gradients.size(); ++c) {
          const float* gradient = read(gradients[c]) + at;
          add_row_gradient(channels, gradient, read(saved[c + 2]) + begin, write(d_inputs[0]) + at,
                           write(d_inputs[1]) + at);
          if (d_inputs[c + 2].defined())
            add_coefficient_gradient(channels, gradient, read(saved[0]) + at, read(saved[1]) + at,
                                     write(d_inputs[c + 2]) + begin);
        }
        subtract_row(channels, write(d_inputs[1]) + at, write(d_inputs[0]) + at);
      }
    });
    return d_inputs;
  }

 private:
  static const float* read(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
  static float* write(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }
};

}  // namespace

std::vector<at::Tensor> token_mix(const at::Tensor& x, const at::Tensor& shifted,
                                  const std::vector<at::Tensor>& coefficients) {
  variable_list inputs = {x, shifted};
  inputs.insert(inputs.end(), coefficients.begin(), coefficients.end());
  return TokenMix::apply(at::TensorList(inputs));
}

}  // namespace vrwkv::model
