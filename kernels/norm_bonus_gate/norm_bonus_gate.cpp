// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_bonus_gate/norm_bonus_gate.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/column_sums/column_sums.h"
#include "kernels/device/current_stream.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_backend.h"
#include "kernels/record_call.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The inputs, contiguous, in the order y, bonus, v, g, weight, bias.
struct Call {
  const at::Tensor& y() const { return tensors[0]; }
  const at::Tensor& bonus() const { return tensors[1]; }

  template <class Element>
  NormBonusGateInputs<Element> inputs() const {
    return {.tokens = y().size(0),
            .heads = bonus().size(1),
            .head_size = y().size(1) / bonus().size(1),
            .epsilon = static_cast<float>(epsilon),
            .y = elements<const Element>(y()),
            .v = elements<const Element>(tensors[2]),
            .g = elements<const Element>(tensors[3]),
            .bonus = elements<const float>(bonus()),
            .weight = elements<const float>(tensors[4]),
            .bias = elements<const float>(tensors[5])};
  }

  at::Tensor empty_floats(at::IntArrayRef sizes) const {
    return at::empty(sizes, y().options().dtype(at::kFloat));
  }

  variable_list tensors;
  double epsilon;
};

/// Of a (2, T, H) tensor: the means, then the scales.
NormBonusGateMoments pointers(const at::Tensor& moments) {
  auto* mean = elements<float>(moments);
  return {.mean = mean, .scale = mean + moments.numel() / 2};
}

/// Fills `moments`.
at::Tensor run_forward(const Call& call, const at::Tensor& moments) {
  const at::Tensor& y = call.y();
  const c10::DeviceGuard device(y.device());
  RecordCall record("vrwkv::norm_bonus_gate", call.tensors);
  at::Tensor out = at::empty(y.sizes(), y.options());
  with_element_of(y, [&](auto element) {
    using Element = decltype(element);
    if (y.is_cpu()) {
      cpu::norm_bonus_gate_forward(call.inputs<Element>(), pointers(moments), elements<Element>(out));
    } else {
      cuda::norm_bonus_gate_forward(call.inputs<Element>(), pointers(moments), elements<Element>(out),
                                    current_stream(y.device()));
    }
  });
  record.set_outputs({out, moments});
  return out;
}

/// Gradients of all inputs, in their order.
variable_list run_backward(const Call& call, const at::Tensor& moments, const at::Tensor& gradient) {
  const at::Tensor& y = call.y();
  const c10::DeviceGuard device(y.device());
  variable_list read = call.tensors;
  read.insert(read.end(), {moments, gradient});
  RecordCall record("vrwkv::norm_bonus_gate_backward", read);
  variable_list gradients;
  for (const at::Tensor& input : {y, call.bonus(), y, y})
    gradients.push_back(at::empty(input.sizes(), input.options()));
  const at::Tensor range_sums = call.empty_floats({token_ranges(y.size(0)), 2, y.size(1)});
  with_element_of(y, [&](auto element) {
    using Element = decltype(element);
    const NormBonusGateGradients<Element> pointers_to{.out = elements<const Element>(gradient),
                                                      .y = elements<Element>(gradients[0]),
                                                      .v = elements<Element>(gradients[2]),
                                                      .g = elements<Element>(gradients[3]),
                                                      .bonus = elements<float>(gradients[1]),
                                                      .range_sums = elements<float>(range_sums)};
    if (y.is_cpu()) {
      cpu::norm_bonus_gate_backward(call.inputs<Element>(), pointers(moments), pointers_to);
    } else {
      cuda::norm_bonus_gate_backward(call.inputs<Element>(), pointers(moments), pointers_to,
                                     current_stream(y.device()));
    }
  });
  const at::Tensor parameters = column_sums(range_sums);
  gradients.insert(gradients.end(), {parameters[0], parameters[1]});
  record.set_outputs(gradients);
  return gradients;
}

class NormBonusGateFunction : public torch::autograd::Function<NormBonusGateFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs, double epsilon) {
    Call call{.tensors = inputs.vec(), .epsilon = epsilon};
    const at::Tensor moments = call.empty_floats({2, call.y().size(0), call.bonus().size(1)});
    at::Tensor out = run_forward(call, moments);
    call.tensors.push_back(moments);
    context->save_for_backward(call.tensors);
    context->saved_data["epsilon"] = epsilon;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const at::Tensor moments = saved.back();
    saved.pop_back();
    const Call call{.tensors = std::move(saved), .epsilon = context->saved_data["epsilon"].toDouble()};
    variable_list gradients = run_backward(call, moments, dense(output_gradients[0]));
    gradients.emplace_back();  // none for epsilon
    return gradients;
  }
};

void check_arguments(const variable_list& inputs, double epsilon) {
  constexpr const char* kWhere = "norm_bonus_gate";
  static constexpr const char* kNames[] = {"y", "bonus", "v", "g", "weight", "bias"};
  const at::Tensor &y = inputs[0], &bonus = inputs[1];
  check_activation(kWhere, "y", y, y);
  check_float32(kWhere, "bonus", bonus, y.device());
  if (y.dim() != 2 || y.numel() == 0) {
    throw ShapeError("norm_bonus_gate: y is {} but should be (T, C), neither 0.", shape_text(y.sizes()));
  }
  if (bonus.dim() != 2 || bonus.size(0) != y.size(0) || bonus.size(1) == 0 ||
      y.size(1) % (16 * bonus.size(1)) != 0) {
    throw ShapeError(
        "norm_bonus_gate: bonus is {} but should be ({}, H) with H heads of a multiple of 16 channels (y is "
        "{}).",
        shape_text(bonus.sizes()), y.size(0), shape_text(y.sizes()));
  }
  for (std::size_t i = 2; i < 4; ++i) check_activation(kWhere, kNames[i], inputs[i], y);
  for (std::size_t i = 4; i < 6; ++i) check_vector(kWhere, kNames[i], inputs[i], y.size(1), y.device());
  if (!(epsilon > 0))
    throw ShapeError("norm_bonus_gate: epsilon is {} but should be positive (a head may be constant).",
                     epsilon);
}

}  // namespace

at::Tensor norm_bonus_gate(const at::Tensor& y, const at::Tensor& bonus, const at::Tensor& v,
                           const at::Tensor& g, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon) {
  variable_list inputs = {y, bonus, v, g, weight, bias};
  check_arguments(inputs, epsilon);
  for (std::size_t i = 4; i < 6; ++i) inputs[i] = inputs[i].reshape({-1});
  for (at::Tensor& input : inputs) input = dense(input);
  return NormBonusGateFunction::apply(at::TensorList(inputs), epsilon);
}

}  // namespace vrwkv::kernels
