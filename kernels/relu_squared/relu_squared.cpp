// SPDX-License-Identifier: Apache-2.0
#include "kernels/relu_squared/relu_squared.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/relu_squared/relu_squared_backend.h"

namespace vrwkv::kernels {
namespace {

at::Tensor run_forward(const at::Tensor& x) {
  RecordCall record("vrwkv::relu_squared", x);
  const c10::DeviceGuard device(x.device());
  at::Tensor y = at::empty_like(x);
  with_element_of(x, [&](auto element) {
    using Element = decltype(element);
    const auto* from = elements<const Element>(x);
    auto* to = elements<Element>(y);
    if (x.is_cpu()) {
      cpu::relu_squared_forward(x.numel(), from, to);
    } else {
      cuda::relu_squared_forward(x.numel(), from, to, current_stream(x.device()));
    }
  });
  record.set_outputs(y);
  return y;
}

at::Tensor run_backward(const at::Tensor& x, const at::Tensor& d_y) {
  RecordCall record("vrwkv::relu_squared_backward", {x, d_y});
  const c10::DeviceGuard device(x.device());
  at::Tensor d_x = at::empty_like(x);
  with_element_of(x, [&](auto element) {
    using Element = decltype(element);
    const auto *from = elements<const Element>(x), *gradient = elements<const Element>(d_y);
    auto* to = elements<Element>(d_x);
    if (x.is_cpu()) {
      cpu::relu_squared_backward(x.numel(), from, gradient, to);
    } else {
      cuda::relu_squared_backward(x.numel(), from, gradient, to, current_stream(x.device()));
    }
  });
  record.set_outputs(d_x);
  return d_x;
}

class ReluSquared : public torch::autograd::Function<ReluSquared> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return run_forward(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {run_backward(context->get_saved_variables()[0], dense(gradients[0]))};
  }
};

}  // namespace

at::Tensor relu_squared(const at::Tensor& x) {
  check_activation("relu_squared", "x", x, x);
  return ReluSquared::apply(dense(x));
}

}  // namespace vrwkv::kernels
