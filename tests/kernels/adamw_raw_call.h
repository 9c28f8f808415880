// SPDX-License-Identifier: Apache-2.0
// The optimizer's backends, called with pointers as adamw.cpp does.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "kernels/adamw/adamw_backend.h"

namespace vrwkv::test {

struct AdamwTensors {
  at::Tensor gradient, master, exp_avg, exp_avg_sq;
};

inline AdamwTensors random_adamw_tensors(std::int64_t numel) {
  at::manual_seed(numel);
  return {at::randn({numel}), at::randn({numel}), at::randn({numel}), at::rand({numel})};
}

/// {master, exp_avg, exp_avg_sq, parameters in bf16} after an update of copies of `start`.
template <class Backend>
std::vector<at::Tensor> adamw_results(const Backend& backend, const AdamwTensors& start,
                                      kernels::Bf16Rounding rounding) {
  const at::Tensor master = start.master.clone(), exp_avg = start.exp_avg.clone();
  const at::Tensor exp_avg_sq = start.exp_avg_sq.clone();
  const at::Tensor parameters = at::zeros(master.sizes(), at::kBFloat16);
  const kernels::AdamwCall call{.factors = {.gradient_scale = 0.37F,
                                            .beta1 = 0.9F,
                                            .one_minus_beta1 = 0.1F,
                                            .beta2 = 0.99F,
                                            .one_minus_beta2 = 0.01F,
                                            .inverse_correction1 = 3.7F,
                                            .inverse_correction2 = 33.7F,
                                            .epsilon = 1e-8F,
                                            .learning_rate = 3e-3F,
                                            .weight_decay = 0.1F},
                                .count = master.numel(),
                                .gradients = start.gradient.const_data_ptr<float>(),
                                .masters = master.data_ptr<float>(),
                                .averages = exp_avg.data_ptr<float>(),
                                .squares = exp_avg_sq.data_ptr<float>(),
                                .parameters = static_cast<kernels::Bf16*>(parameters.data_ptr()),
                                .key = {12345, 67890},
                                .first_element = (std::int64_t{1} << 32) - 500};
  backend(call, rounding);
  return {master, exp_avg, exp_avg_sq, parameters};
}

}  // namespace vrwkv::test
