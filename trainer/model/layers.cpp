// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/layers.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>

#include "kernels/fp32_product/fp32_product.h"

namespace vrwkv::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Projection : public torch::autograd::Function<Projection> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& summand) {
    context->save_for_backward({x, weight});
    context->saved_data["adds"] = summand.has_value();
    const at::Tensor transposed = typed_as(weight, x).t();
    if (!summand) return at::mm(x, transposed);
    context->mark_dirty({*summand});
    return at::Tensor(*summand).addmm_(x, transposed);
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &d_out = d_outputs[0];
    variable_list gradients(3);
    if (context->needs_input_grad(0)) gradients[0] = at::mm(d_out, typed_as(weight, d_out));
    if (context->needs_input_grad(1)) gradients[1] = kernels::fp32_product(d_out.t(), x);
    if (context->saved_data["adds"].toBool()) gradients[2] = d_out;
    return gradients;
  }
};

}  // namespace

at::Tensor typed_as(const at::Tensor& parameter, const at::Tensor& x) {
  return parameter.to(x.scalar_type());
}

at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& summand) {
  return Projection::apply(x, weight, summand.defined() ? std::optional(summand) : std::nullopt);
}

at::Tensor to_device(const at::Tensor& tensor, c10::Device device) {
  if (tensor.device() == device) return tensor;
  const bool pins = device.is_cuda() && tensor.is_cpu();
  return (pins ? tensor.pin_memory() : tensor).to(device, /*non_blocking=*/pins);
}

LayerNorm::LayerNorm(const ParameterFactory& parameters, const std::string& name, std::int64_t width,
                     double epsilon)
    : weight_(parameters.constant(name + ".weight", {width}, 1)),
      bias_(parameters.constant(name + ".bias", {width}, 0)),
      epsilon_(epsilon) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  const at::Tensor wide = x.to(weight_.scalar_type());
  return at::layer_norm(wide, weight_.sizes(), weight_, bias_, epsilon_).to(x.scalar_type());
}

VitNorm::VitNorm(const ParameterFactory& parameters, const std::string& name, std::int64_t width,
                 double epsilon)
    : norm_(parameters, name, width, epsilon) {}

at::Tensor VitNorm::operator()(const at::Tensor& x) const {
  const at::Tensor &weight = norm_.weight(), &bias = norm_.bias();
  return at::layer_norm(x, weight.sizes(), typed_as(weight, x), typed_as(bias, x), norm_.epsilon());
}

VitLinear::VitLinear(const ParameterFactory& parameters, const std::string& name, std::int64_t in,
                     std::int64_t out)
    : weight_(parameters.normal(name + ".weight", {out, in}, 1 / std::sqrt(static_cast<double>(in)))),
      bias_(parameters.constant(name + ".bias", {out}, 0)) {}

at::Tensor VitLinear::operator()(const at::Tensor& x) const {
  return at::linear(x, typed_as(weight_, x), typed_as(bias_, x));
}

PatchEmbedding::PatchEmbedding(const ParameterFactory& parameters, std::int64_t patch_size,
                               std::int64_t width)
    : weight_(parameters.normal("patch_embed.proj.weight", {width, 3, patch_size, patch_size},
                                1 / std::sqrt(static_cast<double>(3 * patch_size * patch_size)))),
      bias_(parameters.constant("patch_embed.proj.bias", {width}, 0)),
      patch_size_(patch_size) {}

at::Tensor PatchEmbedding::operator()(const at::Tensor& images) const {
  return at::conv2d(images, typed_as(weight_, images), typed_as(bias_, images), patch_size_)
      .permute({0, 2, 3, 1});
}

}  // namespace vrwkv::model
