// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw/adamw.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

#include <cmath>

#include "common/error.h"
#include "common/random.h"
#include "kernels/activations.h"
#include "kernels/adamw/adamw_backend.h"
#include "kernels/argument_checks.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"

namespace vrwkv::kernels {
namespace {

AdamwFactors factors_of(const AdamwStep& step, double gradient_scale) {
  const auto count = static_cast<double>(step.step);
  return {.gradient_scale = static_cast<float>(gradient_scale),
          .beta1 = static_cast<float>(step.beta1),
          .one_minus_beta1 = static_cast<float>(1.0 - step.beta1),
          .beta2 = static_cast<float>(step.beta2),
          .one_minus_beta2 = static_cast<float>(1.0 - step.beta2),
          .inverse_correction1 = static_cast<float>(1.0 / (1.0 - std::pow(step.beta1, count))),
          .inverse_correction2 = static_cast<float>(1.0 / (1.0 - std::pow(step.beta2, count))),
          .epsilon = static_cast<float>(step.epsilon),
          .learning_rate = static_cast<float>(step.learning_rate),
          .weight_decay = static_cast<float>(step.weight_decay)};
}

void check_contiguous(const char* name, const at::Tensor& tensor) {
  if (!tensor.is_contiguous()) throw ShapeError("adamw_update: {} is not contiguous.", name);
}

void check_flat(const char* name, const at::Tensor& tensor, const at::Tensor& master) {
  check_float32("adamw_update", name, tensor, master.device());
  check_shape("adamw_update", name, tensor, {master.numel()}, "all are flat and of one length");
  check_contiguous(name, tensor);
}

void check_parameters(const at::Tensor& parameters, const at::Tensor& master) {
  if (!parameters.defined()) return;
  check_present("adamw_update", "parameters", parameters);
  if (parameters.scalar_type() != at::kBFloat16 || parameters.device() != master.device()) {
    throw ShapeError("adamw_update: parameters are {} on {} but should be BFloat16 on {}.",
                     c10::toString(parameters.scalar_type()), parameters.device().str(),
                     master.device().str());
  }
  check_shape("adamw_update", "parameters", parameters, {master.numel()}, "all are flat and of one length");
  check_contiguous("parameters", parameters);
}

Bf16Rounding rounding_of(const Bf16Parameters& parameters) {
  if (!parameters.to.defined()) return Bf16Rounding::kNotAtAll;
  return parameters.stochastic ? Bf16Rounding::kStochastic : Bf16Rounding::kNearest;
}

}  // namespace

void adamw_update(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient,
                  double gradient_scale, const AdamwStep& step, const Bf16Parameters& parameters) {
  check_float32("adamw_update", "master", master);
  check_flat("master", master, master);
  check_flat("exp_avg", exp_avg, master);
  check_flat("exp_avg_sq", exp_avg_sq, master);
  check_flat("gradient", gradient, master);
  check_parameters(parameters.to, master);
  if (step.step < 1) {
    throw ShapeError(
        "adamw_update: step is {} (steps count from 1; the bias correction divides by zero at 0).",
        step.step);
  }
  const at::NoGradGuard no_gradients;
  const c10::DeviceGuard device(master.device());
  RecordCall record("vrwkv::adamw_update", {master, exp_avg, exp_avg_sq, gradient});
  const std::uint64_t key = mix64(mix64(parameters.seed) + static_cast<std::uint64_t>(step.step));
  const AdamwCall call{.factors = factors_of(step, gradient_scale),
                       .count = master.numel(),
                       .gradients = gradient.const_data_ptr<float>(),
                       .masters = master.data_ptr<float>(),
                       .averages = exp_avg.data_ptr<float>(),
                       .squares = exp_avg_sq.data_ptr<float>(),
                       .parameters = elements<Bf16>(parameters.to),
                       .key = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32U)},
                       .first_element = parameters.first_element};
  if (master.is_cpu()) {
    cpu::adamw(call, rounding_of(parameters));
  } else {
    cuda::adamw(call, rounding_of(parameters), current_stream(master.device()));
  }
  record.set_outputs({master, exp_avg, exp_avg_sq, parameters.to});
}

}  // namespace vrwkv::kernels
