// SPDX-License-Identifier: Apache-2.0
#include "kernels/token_shift/token_shift.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "common/error.h"
#include "kernels/argument_checks.h"

namespace vrwkv::kernels {
namespace {

at::Tensor shift_forward(const at::Tensor& x, const at::Tensor& starts, const at::Tensor& previous) {
  const std::int64_t tokens = x.size(1);
  at::Tensor shifted = at::empty_like(x, at::MemoryFormat::Contiguous);
  shifted.narrow(1, 1, tokens - 1).copy_(x.narrow(1, 0, tokens - 1));
  if (previous.defined()) {
    shifted.index_copy_(1, starts, previous);
  } else {
    shifted.index_fill_(1, starts, 0.0);
  }
  return shifted;
}

/// A token feeds its successor alone, so the last token of each sequence gets no gradient.
at::Tensor shift_backward(const at::Tensor& gradient, const at::Tensor& starts) {
  const std::int64_t tokens = gradient.size(1);
  at::Tensor gradient_x = at::empty_like(gradient, at::MemoryFormat::Contiguous);
  gradient_x.narrow(1, 0, tokens - 1).copy_(gradient.narrow(1, 1, tokens - 1));
  gradient_x.index_fill_(1, (starts + (tokens - 1)).remainder(tokens), 0.0);
  return gradient_x;
}

class TokenShift : public torch::autograd::Function<TokenShift> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& previous, const at::Tensor& starts) {
    context->save_for_backward({starts});
    return shift_forward(x, starts, previous.value_or(at::Tensor()));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor starts = context->get_saved_variables()[0];
    const at::Tensor& gradient = gradients[0];
    at::Tensor gradient_x;
    at::Tensor gradient_previous;
    if (context->needs_input_grad(0)) gradient_x = shift_backward(gradient, starts);
    // Without `previous`, edge 1 is that of `starts`, which never needs a gradient.
    if (context->needs_input_grad(1)) gradient_previous = gradient.index_select(1, starts);
    return {gradient_x, gradient_previous, at::Tensor()};
  }
};

}  // namespace

at::Tensor token_shift(const at::Tensor& x, const at::Tensor& sequence_starts, const at::Tensor& previous) {
  if (!x.defined() || x.dim() != 3 || !x.is_floating_point()) {
    throw ShapeError("token_shift: x is {} but should be (B, T, C) of a floating type.",
                     x.defined() ? shape_text(x.sizes()) : "missing");
  }
  check_sequence_starts("token_shift", sequence_starts, x.size(1));
  if (previous.defined()) {
    check_shape("token_shift", "previous", previous, {x.size(0), sequence_starts.numel(), x.size(2)},
                "one row before each sequence");
    if (previous.device() != x.device() || previous.scalar_type() != x.scalar_type()) {
      throw ShapeError("token_shift: previous and x differ in type or device.");
    }
  }
  const auto before = previous.defined() ? std::optional<at::Tensor>(previous) : std::nullopt;
  return TokenShift::apply(x, before, sequence_starts.to(x.device()));
}

}  // namespace vrwkv::kernels
