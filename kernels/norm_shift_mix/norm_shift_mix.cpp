// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_shift_mix/norm_shift_mix.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/column_sums/column_sums.h"
#include "kernels/device/current_stream.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"
#include "kernels/record_call.h"
#include "kernels/sequence_bounds.h"
#include "kernels/token_ranges.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// A range reads one row again that its neighbour reads, and its sums are as large as a few rows: long ranges
/// have less of both, short ones occupy more of a GPU. Depends on nothing but the shape, and so do the sums.
std::int64_t range_tokens(const at::Tensor& x) {
  constexpr std::int64_t kGpuRanges = 512, kShortest = 4, kLongest = 64;
  return x.is_cpu() ? kRangeTokens
                    : std::clamp((x.size(0) + kGpuRanges - 1) / kGpuRanges, kShortest, kLongest);
}

/// What a call needs that has no gradient; the starts on x's device, `previous` perhaps undefined.
struct Constants {
  at::Tensor sequence_starts, previous;
  double epsilon;
};

/// One call; tensors are contiguous.
struct Call {
  const at::Tensor& x() const { return inputs[0]; }
  std::int64_t mix_count() const { return static_cast<std::int64_t>(inputs.size()) - kFirstMix; }

  template <class Element>
  NormShiftMixInputs<Element> pointers() const {
    NormShiftMixInputs<Element> in{.tokens = x().size(0),
                                   .channels = x().size(1),
                                   .sequences = constants.sequence_starts.numel(),
                                   .range_tokens = range_tokens(x()),
                                   .mix_count = static_cast<int>(mix_count()),
                                   .epsilon = static_cast<float>(constants.epsilon),
                                   .x = elements<const Element>(x()),
                                   .weight = elements<const float>(inputs[1]),
                                   .bias = elements<const float>(inputs[2]),
                                   .mixes = {},
                                   .sequence_starts = elements<const std::int64_t>(constants.sequence_starts),
                                   .previous = elements<const Element>(constants.previous)};
    for (std::size_t m = kFirstMix; m < inputs.size(); ++m)
      in.mixes[m - kFirstMix] = elements<const float>(inputs[m]);
    return in;
  }

  /// All it reads, and `more`.
  variable_list tensors(std::initializer_list<at::Tensor> more) const {
    variable_list all = inputs;
    all.insert(all.end(), {constants.sequence_starts, constants.previous});
    all.insert(all.end(), more);
    return all;
  }

  static constexpr std::size_t kFirstMix = 3;
  variable_list inputs;  // x, weight, bias, the mixes
  Constants constants;
};

at::Tensor empty_kept(const at::Tensor& x) {
  return at::empty({2, x.size(0)}, x.options().dtype(at::kFloat));
}

NormShiftMixKept pointers(const at::Tensor& kept) {
  if (!kept.defined()) return {.mean = nullptr, .scale = nullptr};
  auto* mean = kept.mutable_data_ptr<float>();
  return {.mean = mean, .scale = mean + kept.size(1)};
}

/// @param kept  (2, T) fp32 to fill, or undefined.
NormShiftMix run_forward(const Call& call, const at::Tensor& kept) {
  RecordCall record("vrwkv::norm_shift_mix", call.tensors({}));
  const at::Tensor& x = call.x();
  const c10::DeviceGuard device(x.device());
  NormShiftMix result{.mixed = at::empty({call.mix_count(), x.size(0), x.size(1)}, x.options()),
                      .last = at::empty({call.constants.sequence_starts.numel(), x.size(1)}, x.options()),
                      .x = at::empty_like(x)};
  with_element_of(x, [&](auto element) {
    using Element = decltype(element);
    const NormShiftMixInputs<Element> inputs = call.pointers<Element>();
    const NormShiftMixOutputs<Element> outputs{.mixed = elements<Element>(result.mixed),
                                               .last = elements<Element>(result.last),
                                               .x = elements<Element>(result.x)};
    if (x.is_cpu()) {
      cpu::norm_shift_mix_forward(inputs, pointers(kept), outputs);
    } else {
      cuda::norm_shift_mix_forward(inputs, pointers(kept), outputs, current_stream(x.device()));
    }
  });
  record.set_outputs({result.mixed, result.last, result.x, kept});
  return result;
}

/// Gradients of x, weight, bias and the mixes.
/// @param more_x  added to x's, or undefined.
variable_list run_backward(const Call& call, const at::Tensor& kept, const at::Tensor& gradient,
                           const at::Tensor& more_x) {
  RecordCall record("vrwkv::norm_shift_mix_backward", call.tensors({kept, gradient, more_x}));
  const at::Tensor& x = call.x();
  const c10::DeviceGuard device(x.device());
  const std::int64_t mixes = call.mix_count();
  const at::Tensor gradient_x = at::empty_like(x);
  at::Tensor range_sums;
  with_element_of(x, [&](auto element) {
    using Element = decltype(element);
    const NormShiftMixInputs<Element> inputs = call.pointers<Element>();
    range_sums = at::empty({inputs.ranges(), mixes + 2, x.size(1)}, x.options().dtype(at::kFloat));
    const NormShiftMixGradients<Element> gradients{.mixed = elements<const Element>(gradient),
                                                   .more_x = elements<const Element>(more_x),
                                                   .x = elements<Element>(gradient_x),
                                                   .range_sums = elements<float>(range_sums)};
    if (x.is_cpu()) {
      cpu::norm_shift_mix_backward(inputs, pointers(kept), gradients);
    } else {
      cuda::norm_shift_mix_backward(inputs, pointers(kept), gradients, current_stream(x.device()));
    }
  });
  const at::Tensor sums = column_sums(range_sums);
  record.set_outputs({gradient_x, sums});
  variable_list gradients = {gradient_x, sums[mixes], sums[mixes + 1]};
  for (std::int64_t m = 0; m < mixes; ++m) gradients.push_back(sums[m]);
  return gradients;
}

class NormShiftMixFunction : public torch::autograd::Function<NormShiftMixFunction> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs, const Constants& constants) {
    const Call call{.inputs = inputs.vec(), .constants = constants};
    const at::Tensor kept = empty_kept(call.x());
    const NormShiftMix result = run_forward(call, kept);
    context->save_for_backward(call.tensors({kept}));
    context->saved_data["epsilon"] = constants.epsilon;
    context->mark_non_differentiable({result.last});
    context->set_materialize_grads(false);
    return {result.mixed, result.last, result.x};
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const auto take_last = [&] {
      at::Tensor last = saved.back();
      saved.pop_back();
      return last;
    };
    const at::Tensor kept = take_last(), previous = take_last(), sequence_starts = take_last();
    const Call call{.inputs = std::move(saved),
                    .constants = {.sequence_starts = sequence_starts,
                                  .previous = previous,
                                  .epsilon = context->saved_data["epsilon"].toDouble()}};
    const at::Tensor &d_mixed = output_gradients[0], &more_x = output_gradients[2];
    const at::Tensor& x = call.x();
    variable_list gradients = run_backward(
        call, kept,
        d_mixed.defined() ? dense(d_mixed) : at::zeros({call.mix_count(), x.size(0), x.size(1)}, x.options()),
        more_x.defined() ? dense(more_x) : at::Tensor());
    gradients.emplace_back();  // none for the constants
    return gradients;
  }
};

constexpr const char* kWhere = "norm_shift_mix";

void check_arguments(const NormShiftMixArguments& arguments) {
  const auto& [x, weight, bias, epsilon, mixes, sequence_starts, previous] = arguments;
  check_activation(kWhere, "x", x, x);
  if (x.dim() != 2 || x.size(1) == 0 || x.size(1) % 16 != 0) {
    throw ShapeError("norm_shift_mix: x is {} but should be (T, C) with C a multiple of 16.",
                     shape_text(x.sizes()));
  }
  if (x.is_cuda() && x.size(1) > cuda::kMaxChannels) {
    throw ShapeError("norm_shift_mix: x is {} but on CUDA C is at most {}.", shape_text(x.sizes()),
                     cuda::kMaxChannels);
  }
  const auto check_channels = [&x = arguments.x](const char* name, const at::Tensor& vector) {
    check_vector(kWhere, name, vector, x.size(1), x.device());
  };
  check_channels("weight", weight);
  check_channels("bias", bias);
  if (mixes.size() != 1 && mixes.size() != kMaxMixes)
    throw ShapeError("norm_shift_mix: there are {} mixes but should be 1 or {}.", mixes.size(), kMaxMixes);
  for (const at::Tensor& mix : mixes) check_channels("a mix", mix);
  check_sequence_starts(kWhere, sequence_starts, x.size(0));
  if (!(epsilon > 0))
    throw ShapeError("norm_shift_mix: epsilon is {} but should be positive (a token may be constant).",
                     epsilon);
  if (previous.defined()) {
    check_shape(kWhere, "previous", previous, {sequence_starts.numel(), x.size(1)},
                "one row before each sequence");
    if (previous.device() != x.device() || previous.scalar_type() != x.scalar_type())
      throw ShapeError("norm_shift_mix: previous and x differ in type or device.");
  }
}

/// Checks the arguments and makes them dense.
Call make_call(const NormShiftMixArguments& arguments) {
  const at::Tensor& x = arguments.x;
  const at::Tensor& previous = arguments.previous;
  check_arguments(arguments);
  Call call{.inputs = {dense(x), dense(arguments.weight.reshape({-1})), dense(arguments.bias.reshape({-1}))},
            .constants = {.sequence_starts = sequence_bounds(arguments.sequence_starts, x.size(0), x.device())
                                                 .narrow(0, 0, arguments.sequence_starts.numel()),
                          .previous = previous.defined() ? dense(previous.detach()) : at::Tensor(),
                          .epsilon = arguments.epsilon}};
  for (const at::Tensor& mix : arguments.mixes) call.inputs.push_back(dense(mix.reshape({-1})));
  return call;
}

}  // namespace

NormShiftMix norm_shift_mix(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            double epsilon, const std::vector<at::Tensor>& mixes,
                            const at::Tensor& sequence_starts, const at::Tensor& previous) {
  const Call call = make_call({x, weight, bias, epsilon, mixes, sequence_starts, previous});
  const bool differentiates = at::GradMode::is_enabled() &&
                              std::any_of(call.inputs.begin(), call.inputs.end(),
                                          [](const at::Tensor& input) { return input.requires_grad(); });
  if (!differentiates) return run_forward(call, at::Tensor());
  const variable_list outputs = NormShiftMixFunction::apply(at::TensorList(call.inputs), call.constants);
  return {.mixed = outputs[0], .last = outputs[1], .x = outputs[2]};
}

NormShiftMix norm_shift_mix_forward(const NormShiftMixArguments& arguments, at::Tensor* kept) {
  const at::NoGradGuard no_gradients;
  const Call call = make_call(arguments);
  if (kept != nullptr) *kept = empty_kept(call.x());
  return run_forward(call, kept != nullptr ? *kept : at::Tensor());
}

NormShiftMixArgumentGradients norm_shift_mix_backward(const NormShiftMixArguments& arguments,
                                                      const at::Tensor& kept, const at::Tensor& d_mixed,
                                                      const at::Tensor& more_x) {
  const at::NoGradGuard no_gradients;
  const Call call = make_call(arguments);
  const at::Tensor& x = call.x();
  check_float32(kWhere, "kept", kept, x.device());
  check_shape(kWhere, "kept", kept, {2, x.size(0)}, "as norm_shift_mix_forward() made it");
  check_activation(kWhere, "d_mixed", d_mixed, x.expand({call.mix_count(), x.size(0), x.size(1)}));
  if (more_x.defined()) check_activation(kWhere, "more_x", more_x, x);
  const variable_list gradients =
      run_backward(call, dense(kept), dense(d_mixed), more_x.defined() ? dense(more_x) : at::Tensor());
  return {.x = gradients[0],
          .weight = gradients[1],
          .bias = gradients[2],
          .mixes = {gradients.begin() + Call::kFirstMix, gradients.end()}};
}

}  // namespace vrwkv::kernels
