// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw/adamw_reference.h"

#include <cmath>

namespace vrwkv::kernels {

void adamw_update_reference(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                            const at::Tensor& gradient, double gradient_scale, const AdamwStep& step) {
  auto* const parameters = master.data_ptr<double>();
  auto* const averages = exp_avg.data_ptr<double>();
  auto* const squares = exp_avg_sq.data_ptr<double>();
  const auto* const gradients = gradient.const_data_ptr<double>();
  const auto count = static_cast<double>(step.step);
  for (std::int64_t i = 0; i < master.numel(); ++i) {
    const double g = gradient_scale * gradients[i];
    averages[i] = step.beta1 * averages[i] + (1.0 - step.beta1) * g;
    squares[i] = step.beta2 * squares[i] + (1.0 - step.beta2) * g * g;
    const double m = averages[i] / (1.0 - std::pow(step.beta1, count));
    const double v = squares[i] / (1.0 - std::pow(step.beta2, count));
    parameters[i] -=
        step.learning_rate * (m / (std::sqrt(v) + step.epsilon) + step.weight_decay * parameters[i]);
  }
}

}  // namespace vrwkv::kernels
