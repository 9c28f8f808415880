// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/column_sums/column_sums.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The tensors of one call, contiguous, in the order r, k, v, w, u, initial state (which may be undefined)
/// and the bounds of the sequences' tokens, (S + 1) on the tensors' device.
struct Call {
  const at::Tensor& r() const { return tensors[0]; }
  const at::Tensor& initial_state() const { return tensors[5]; }
  const at::Tensor& bounds() const { return tensors[6]; }
  std::int64_t sequences() const { return bounds().numel() - 1; }

  template <class Element>
  Wkv6Inputs<Element> inputs() const {
    return {.batch = r().size(0),
            .tokens = r().size(1),
            .heads = r().size(2),
            .head_size = r().size(3),
            .sequences = sequences(),
            .token_bounds = elements<const std::int64_t>(bounds()),
            .r = elements<const Element>(r()),
            .k = elements<const Element>(tensors[1]),
            .v = elements<const Element>(tensors[2]),
            .w = elements<const Element>(tensors[3]),
            .u = elements<const float>(tensors[4]),
            .initial_state = elements<const float>(initial_state())};
  }

  at::Tensor empty_like_r() const { return at::empty(r().sizes(), r().options()); }
  at::Tensor empty_floats(at::IntArrayRef sizes) const {
    return at::empty(sizes, r().options().dtype(at::kFloat));
  }
  at::Tensor empty_states(std::int64_t count) const {
    return empty_floats({r().size(0), count, r().size(2), r().size(3), r().size(3)});
  }
  at::Tensor empty_kept_states() const {
    return empty_states(kept_state_count(r().size(1), sequences(), kWkv6Chunk));
  }

  variable_list tensors;
};

/// @param kept_states  to fill, or undefined.
Wkv6Result run_forward(const Call& call, const at::Tensor& kept_states) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  RecordCall record("vrwkv::wkv6", call.tensors);
  Wkv6Result result{.y = call.empty_like_r(), .final_state = call.empty_states(call.sequences())};
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    const Wkv6Outputs<Element> outputs{.y = elements<Element>(result.y),
                                       .final_state = elements<float>(result.final_state),
                                       .kept_states = elements<float>(kept_states)};
    if (r.is_cpu()) {
      cpu::wkv6_forward(call.inputs<Element>(), outputs);
    } else {
      cuda::wkv6_forward(call.inputs<Element>(), outputs, current_stream(r.device()));
    }
  });
  record.set_outputs({result.y, result.final_state, kept_states});
  return result;
}

struct OutputGradients {
  at::Tensor y;
  at::Tensor final_state;  // undefined for zeros
};

/// Gradients of r, k, v, w, u and, when wanted, of the initial state.
variable_list run_backward(const Call& call, const at::Tensor& kept_states, const OutputGradients& incoming,
                           bool want_initial_state) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  variable_list read = call.tensors;
  read.insert(read.end(), {kept_states, incoming.y, incoming.final_state});
  RecordCall record("vrwkv::wkv6_backward", read);
  variable_list gradients;
  for (int i = 0; i < 4; ++i) gradients.push_back(call.empty_like_r());
  const at::Tensor u_parts = call.empty_floats({r.size(0) * call.sequences(), r.size(2), r.size(3)});
  const at::Tensor initial_state = want_initial_state ? call.empty_states(call.sequences()) : at::Tensor();
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    const Wkv6OutputGradients<Element> gradients_in{
        .y = elements<const Element>(incoming.y),
        .final_state = elements<const float>(incoming.final_state),
        .kept_states = elements<const float>(kept_states)};
    const Wkv6InputGradients<Element> gradients_out{.r = elements<Element>(gradients[0]),
                                                    .k = elements<Element>(gradients[1]),
                                                    .v = elements<Element>(gradients[2]),
                                                    .w = elements<Element>(gradients[3]),
                                                    .u_parts = elements<float>(u_parts),
                                                    .initial_state = elements<float>(initial_state)};
    if (r.is_cpu()) {
      cpu::wkv6_backward(call.inputs<Element>(), gradients_in, gradients_out);
    } else {
      cuda::wkv6_backward(call.inputs<Element>(), gradients_in, gradients_out, current_stream(r.device()));
    }
  });
  gradients.push_back(column_sums(u_parts));
  gradients.push_back(initial_state);
  record.set_outputs(gradients);
  return gradients;
}

/// Autograd takes no undefined tensor.
std::optional<at::Tensor> optional_tensor(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

class Wkv6Function : public torch::autograd::Function<Wkv6Function> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& r, const at::Tensor& k,
                               const at::Tensor& v, const at::Tensor& w, const at::Tensor& u,
                               const std::optional<at::Tensor>& initial_state, const at::Tensor& bounds) {
    Call call{{r, k, v, w, u, initial_state.value_or(at::Tensor()), bounds}};
    const at::Tensor kept_states = call.empty_kept_states();
    const Wkv6Result result = run_forward(call, kept_states);
    call.tensors.push_back(kept_states);
    context->save_for_backward(call.tensors);
    context->set_materialize_grads(false);
    return {result.y, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const at::Tensor kept_states = saved.back();
    saved.pop_back();
    const Call call{std::move(saved)};
    OutputGradients incoming;
    incoming.y = output_gradients[0].defined() ? output_gradients[0].contiguous() : at::zeros_like(call.r());
    if (output_gradients[1].defined()) incoming.final_state = output_gradients[1].contiguous();
    // An undefined argument has no edge in the graph, and then index 5 is the bounds'.
    const bool want_initial_state = call.initial_state().defined() && context->needs_input_grad(5);
    variable_list gradients = run_backward(call, kept_states, incoming, want_initial_state);
    gradients.emplace_back();  // none for the bounds
    return gradients;
  }
};

void check_arguments(const variable_list& inputs, const at::Tensor& u, const at::Tensor& sequence_starts,
                     const at::Tensor& initial_state) {
  static constexpr const char* kNames[] = {"r", "k", "v", "w"};
  const at::Tensor& r = inputs[0];
  for (std::size_t i = 0; i < inputs.size(); ++i) check_activation("wkv6", kNames[i], inputs[i], r);
  if (r.dim() != 4 || r.numel() == 0 || r.size(3) % 16 != 0) {
    throw ShapeError("wkv6: r is {} but should be (B, T, H, N), none of them 0 and N a multiple of 16.",
                     shape_text(r.sizes()));
  }
  check_float32("wkv6", "u", u, r.device());
  check_shape("wkv6", "u", u, {r.size(2), r.size(3)}, "(H, N)");
  check_sequence_starts("wkv6", sequence_starts, r.size(1));
  if (initial_state.defined()) {
    check_float32("wkv6", "initial_state", initial_state, r.device());
    check_shape("wkv6", "initial_state", initial_state,
                {r.size(0), sequence_starts.numel(), r.size(2), r.size(3), r.size(3)}, "(B, S, H, N, N)");
  }
}

}  // namespace

Wkv6Result wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                const at::Tensor& u, const at::Tensor& sequence_starts, const at::Tensor& initial_state) {
  check_arguments({r, k, v, w}, u, sequence_starts, initial_state);
  variable_list tensors = {r, k, v, w, u, initial_state};
  for (at::Tensor& tensor : tensors)
    if (tensor.defined()) tensor = tensor.contiguous();
  const at::Tensor end = at::full({1}, r.size(1), at::kLong);
  tensors.push_back(queued_copy(at::cat({sequence_starts, end}), r.device()));
  const bool differentiates =
      at::GradMode::is_enabled() && std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
        return tensor.defined() && tensor.requires_grad();
      });
  if (!differentiates) return run_forward(Call{std::move(tensors)}, /*kept_states=*/{});
  const variable_list outputs = Wkv6Function::apply(tensors[0], tensors[1], tensors[2], tensors[3],
                                                    tensors[4], optional_tensor(tensors[5]), tensors[6]);
  return {.y = outputs[0], .final_state = outputs[1]};
}

}  // namespace vrwkv::kernels
