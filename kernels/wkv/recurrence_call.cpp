// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv/recurrence_call.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/sequence_bounds.h"

namespace vrwkv::kernels {
namespace {

ChunkedFit fit_of(const RecurrenceArguments& arguments) {
  const at::Tensor& r = arguments.activations[0];
  if (r.is_cpu()) return ChunkedFit::kOnCpu;
  const bool fits = r.scalar_type() == at::kBFloat16 && r.size(3) == kChunkedHeadSize;
  return fits ? arguments.chunked_fit : ChunkedFit::kNone;
}

RecurrenceKernel kernel_of(const RecurrenceArguments& arguments) {
  RecurrenceKernel kernel = recurrence_kernel(arguments.where, fit_of(arguments));
  // Of a token or two, gradients that are zero are compared with what rounding leaves.
  kernel.self_checks = kernel.self_checks && arguments.activations[0].size(1) >= 16;
  return kernel;
}

}  // namespace

bool RecurrenceCall::differentiates() const {
  return at::GradMode::is_enabled() &&
         std::any_of(tensors.begin(), tensors.end(),
                     [](const at::Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); });
}

at::Tensor RecurrenceCall::empty(at::IntArrayRef sizes, at::ScalarType type) const {
  return at::empty(sizes, r().options().dtype(type));
}

at::Tensor RecurrenceCall::empty_like_r() const { return empty(r().sizes(), r().scalar_type()); }

at::Tensor RecurrenceCall::empty_states() const {
  return empty({r().size(0), sequences(), r().size(2), r().size(3), r().size(3)}, at::kFloat);
}

void check_recurrence_arguments(const RecurrenceArguments& arguments) {
  const char* where = arguments.where;
  const at::Tensor& r = arguments.activations[0];
  for (std::size_t i = 0; i < arguments.activations.size(); ++i)
    check_activation(where, arguments.names[i], arguments.activations[i], r);
  if (r.dim() != 4 || r.numel() == 0 || r.size(3) % 16 != 0) {
    throw ShapeError("{}: r is {} but should be (B, T, H, N), none of them 0 and N a multiple of 16.", where,
                     shape_text(r.sizes()));
  }
  check_sequence_starts(where, arguments.sequence_starts, r.size(1));
  const at::Tensor& state = arguments.initial_state;
  if (!state.defined()) return;
  check_float32(where, "initial_state", state, r.device());
  check_shape(where, "initial_state", state,
              {r.size(0), arguments.sequence_starts.numel(), r.size(2), r.size(3), r.size(3)},
              "(B, S, H, N, N)");
}

RecurrenceCall make_recurrence_call(const RecurrenceArguments& arguments) {
  RecurrenceCall call{.tensors = arguments.activations, .kernel = kernel_of(arguments)};
  call.tensors.insert(call.tensors.end(), arguments.others.begin(), arguments.others.end());
  call.tensors.push_back(arguments.initial_state);
  for (at::Tensor& tensor : call.tensors) tensor = dense_or_none(tensor);
  call.tensors.push_back(sequence_bounds(arguments.sequence_starts, call.r().size(1), call.r().device()));
  return call;
}

std::optional<at::Tensor> optional_tensor(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

at::Tensor dense_or_none(const at::Tensor& tensor) { return tensor.defined() ? dense(tensor) : tensor; }

}  // namespace vrwkv::kernels
