// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "common/error.h"
#include "kernels/argument_checks.h"

namespace vrwkv::kernels {
namespace {

/// The scalars of one update, computed in fp64 and rounded once.
struct Factors {
  explicit Factors(const AdamwStep& step, double scale)
      : gradient_scale(static_cast<float>(scale)),
        beta1(static_cast<float>(step.beta1)),
        one_minus_beta1(static_cast<float>(1.0 - step.beta1)),
        beta2(static_cast<float>(step.beta2)),
        one_minus_beta2(static_cast<float>(1.0 - step.beta2)),
        inverse_correction1(
            static_cast<float>(1.0 / (1.0 - std::pow(step.beta1, static_cast<double>(step.step))))),
        inverse_correction2(
            static_cast<float>(1.0 / (1.0 - std::pow(step.beta2, static_cast<double>(step.step))))),
        epsilon(static_cast<float>(step.epsilon)),
        learning_rate(static_cast<float>(step.learning_rate)),
        weight_decay(static_cast<float>(step.weight_decay)) {}

  float gradient_scale;
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float inverse_correction1;
  float inverse_correction2;
  float epsilon;
  float learning_rate;
  float weight_decay;
};

/// Vectorised by the compiler; CMakeLists.txt allows no fused operations and no errno here, so that an
/// element's bits do not depend on whether it falls into a vector or into the rest.
void update_range(const Factors& f, const float* __restrict gradients, float* __restrict parameters,
                  float* __restrict averages, float* __restrict squares, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = f.gradient_scale * gradients[i];
    const float average = f.beta1 * averages[i] + f.one_minus_beta1 * g;
    const float square = f.beta2 * squares[i] + f.one_minus_beta2 * (g * g);
    const float denominator = std::sqrt(square * f.inverse_correction2) + f.epsilon;
    const float direction = average * f.inverse_correction1 / denominator;
    averages[i] = average;
    squares[i] = square;
    parameters[i] -= f.learning_rate * (direction + f.weight_decay * parameters[i]);
  }
}

void update_on_cpu(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                   const at::Tensor& gradient, const Factors& factors) {
  const float* gradients = gradient.const_data_ptr<float>();
  float* parameters = master.data_ptr<float>();
  float* averages = exp_avg.data_ptr<float>();
  float* squares = exp_avg_sq.data_ptr<float>();
  at::parallel_for(0, master.numel(), /*grain_size=*/16384, [&](std::int64_t begin, std::int64_t end) {
    update_range(factors, gradients + begin, parameters + begin, averages + begin, squares + begin,
                 end - begin);
  });
}

void update_on_device(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                      const at::Tensor& gradient, const Factors& f) {
  const at::Tensor g = gradient.mul(f.gradient_scale);
  exp_avg.mul_(f.beta1).add_(g, f.one_minus_beta1);
  exp_avg_sq.mul_(f.beta2).addcmul_(g, g, f.one_minus_beta2);
  const at::Tensor denominator = exp_avg_sq.mul(f.inverse_correction2).sqrt_().add_(f.epsilon);
  const at::Tensor direction =
      exp_avg.mul(f.inverse_correction1).div_(denominator).add_(master, f.weight_decay);
  master.sub_(direction, f.learning_rate);
}

void check_flat(const char* name, const at::Tensor& tensor, const at::Tensor& master) {
  check_float32("adamw_update", name, tensor, master.device());
  check_shape("adamw_update", name, tensor, {master.numel()}, "all four are flat and of one length");
  if (!tensor.is_contiguous()) throw ShapeError("adamw_update: {} is not contiguous.", name);
}

}  // namespace

void adamw_update(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq, const at::Tensor& gradient,
                  double gradient_scale, const AdamwStep& step) {
  check_flat("master", master, master);
  check_flat("exp_avg", exp_avg, master);
  check_flat("exp_avg_sq", exp_avg_sq, master);
  check_flat("gradient", gradient, master);
  if (step.step < 1) {
    throw ShapeError(
        "adamw_update: step is {} (steps count from 1; the bias correction divides by zero at 0).",
        step.step);
  }
  const at::NoGradGuard no_gradients;
  const Factors factors(step, gradient_scale);
  if (master.is_cpu()) {
    update_on_cpu(master, exp_avg, exp_avg_sq, gradient, factors);
  } else {
    update_on_device(master, exp_avg, exp_avg_sq, gradient, factors);
  }
}

}  // namespace vrwkv::kernels
