// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/device/current_stream.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Where the sequences and their chunks begin and end, on the CPU: (2, S + 1), tokens then chunks.
at::Tensor sequence_bounds(const at::Tensor& starts, std::int64_t tokens) {
  const std::int64_t sequences = starts.numel();
  at::Tensor bounds = at::empty({2, sequences + 1}, at::kLong);
  auto* token = bounds.data_ptr<std::int64_t>();
  auto* chunk = token + sequences + 1;
  const auto* start = starts.const_data_ptr<std::int64_t>();
  chunk[0] = 0;
  for (std::int64_t s = 0; s < sequences; ++s) {
    const std::int64_t end = s + 1 < sequences ? start[s + 1] : tokens;
    token[s] = start[s];
    chunk[s + 1] = chunk[s] + (end - start[s] + kWkv7Chunk - 1) / kWkv7Chunk;
  }
  token[sequences] = tokens;
  return bounds;
}

/// The tensors of one call, in the order r, w, k, v, a, b, initial state (which may be undefined), bounds (on
/// the CPU), and the same bounds on the tensors' device.
struct Call {
  Call(variable_list all, std::int64_t chunk_count, const Wkv7Options& chosen)
      : tensors(std::move(all)), chunks(chunk_count), options(chosen) {}

  const at::Tensor& r() const { return tensors[0]; }
  const at::Tensor& initial_state() const { return tensors[6]; }
  std::int64_t sequences() const { return tensors[7].size(1) - 1; }

  Wkv7Inputs inputs() const {
    const auto* bounds = tensors[7].const_data_ptr<std::int64_t>();
    const auto pointer = [this](std::size_t i) { return tensors[i].const_data_ptr<float>(); };
    return {.batch = r().size(0),
            .tokens = r().size(1),
            .heads = r().size(2),
            .head_size = r().size(3),
            .sequences = sequences(),
            .chunks = chunks,
            .token_bounds = bounds,
            .chunk_bounds = bounds + sequences() + 1,
            .r = pointer(0),
            .w = pointer(1),
            .k = pointer(2),
            .v = pointer(3),
            .a = pointer(4),
            .b = pointer(5),
            .initial_state = initial_state().defined() ? pointer(6) : nullptr,
            .decay_input = options.decay_input};
  }

  at::Tensor empty_states(std::int64_t count) const {
    return at::empty({r().size(0), count, r().size(2), r().size(3), r().size(3)}, r().options());
  }

  variable_list tensors;
  std::int64_t chunks;
  Wkv7Options options;
};

struct Kept {
  at::Tensor chunk_states;
  at::Tensor state_a;

  Wkv7Kept pointers() const {
    if (!chunk_states.defined()) return {.chunk_states = nullptr, .state_a = nullptr};
    return {.chunk_states = chunk_states.data_ptr<float>(), .state_a = state_a.data_ptr<float>()};
  }
};

Wkv7Result run_forward(const Call& call, const Kept& kept) {
  const c10::DeviceGuard device(call.r().device());
  Wkv7Result result{.y = at::empty(call.r().sizes(), call.r().options()),
                    .final_state = call.empty_states(call.sequences())};
  const Wkv7Outputs outputs{.y = result.y.data_ptr<float>(),
                            .final_state = result.final_state.data_ptr<float>()};
  if (call.r().is_cpu()) {
    cpu::wkv7_forward(call.inputs(), outputs, kept.pointers());
  } else {
    cuda::wkv7_forward(call.inputs(), outputs, kept.pointers(), current_stream(call.r().device()));
  }
  return result;
}

/// Gradients of r, w, k, v, a, b and, when wanted, of the initial state.
variable_list run_backward(const Call& call, const Kept& kept, const at::Tensor& gradient_y,
                           const at::Tensor& gradient_final_state, bool want_initial_state) {
  const c10::DeviceGuard device(call.r().device());
  variable_list gradients(7);
  for (std::size_t i = 0; i < 6; ++i) gradients[i] = at::empty(call.r().sizes(), call.r().options());
  if (want_initial_state) gradients[6] = call.empty_states(call.sequences());
  const auto pointer = [&](std::size_t i) { return gradients[i].data_ptr<float>(); };
  const Wkv7OutputGradients output_gradients{
      .y = gradient_y.const_data_ptr<float>(),
      .final_state = gradient_final_state.defined() ? gradient_final_state.const_data_ptr<float>() : nullptr};
  const Wkv7InputGradients input_gradients{.r = pointer(0),
                                           .w = pointer(1),
                                           .k = pointer(2),
                                           .v = pointer(3),
                                           .a = pointer(4),
                                           .b = pointer(5),
                                           .initial_state = want_initial_state ? pointer(6) : nullptr};
  if (call.r().is_cpu()) {
    cpu::wkv7_backward(call.inputs(), kept.pointers(), output_gradients, input_gradients);
  } else {
    cuda::wkv7_backward(call.inputs(), kept.pointers(), output_gradients, input_gradients,
                        current_stream(call.r().device()));
  }
  return gradients;
}

/// Autograd takes no undefined tensor.
std::optional<at::Tensor> optional_tensor(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

class Wkv7 : public torch::autograd::Function<Wkv7> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& r, const at::Tensor& w,
                               const at::Tensor& k, const at::Tensor& v, const at::Tensor& a,
                               const at::Tensor& b, const std::optional<at::Tensor>& initial_state,
                               const at::Tensor& bounds, std::int64_t chunks, const Wkv7Options& options) {
    const at::Tensor start = initial_state.value_or(at::Tensor());
    const Call call({r, w, k, v, a, b, start, bounds}, chunks, options);
    const Kept kept{.chunk_states = call.empty_states(chunks), .state_a = at::empty(r.sizes(), r.options())};
    const Wkv7Result result = run_forward(call, kept);
    context->save_for_backward({r, w, k, v, a, b, start, bounds, kept.chunk_states, kept.state_a});
    context->saved_data["chunks"] = chunks;
    context->saved_data["decay_input"] = static_cast<std::int64_t>(options.decay_input);
    context->set_materialize_grads(false);
    return {result.y, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const Kept kept{.chunk_states = saved[8], .state_a = saved[9]};
    saved.resize(8);
    const Wkv7Options options{.decay_input =
                                  static_cast<DecayInput>(context->saved_data["decay_input"].toInt())};
    const Call call(std::move(saved), context->saved_data["chunks"].toInt(), options);
    const at::Tensor gradient_y =
        output_gradients[0].defined() ? output_gradients[0].contiguous() : at::zeros_like(call.r());
    const at::Tensor gradient_final_state =
        output_gradients[1].defined() ? output_gradients[1].contiguous() : at::Tensor();
    // An undefined argument has no edge in the graph, and then index 6 is the bounds'.
    const bool want_initial_state = call.initial_state().defined() && context->needs_input_grad(6);
    variable_list gradients = run_backward(call, kept, gradient_y, gradient_final_state, want_initial_state);
    gradients.resize(10);  // none for the bounds, the number of chunks and the options
    return gradients;
  }
};

void check_arguments(const variable_list& inputs, const at::Tensor& sequence_starts,
                     const at::Tensor& initial_state) {
  static constexpr const char* kNames[] = {"r", "w", "k", "v", "a", "b"};
  const at::Tensor& r = inputs[0];
  for (std::size_t i = 0; i < inputs.size(); ++i) check_activation("wkv7", kNames[i], inputs[i], r);
  if (r.dim() != 4 || r.numel() == 0 || r.size(3) % 16 != 0) {
    throw ShapeError("wkv7: r is {} but should be (B, T, H, N), none of them 0 and N a multiple of 16.",
                     shape_text(r.sizes()));
  }
  check_sequence_starts("wkv7", sequence_starts, r.size(1));
  if (initial_state.defined()) {
    check_float32("wkv7", "initial_state", initial_state, r.device());
    check_shape("wkv7", "initial_state", initial_state,
                {r.size(0), sequence_starts.numel(), r.size(2), r.size(3), r.size(3)}, "(B, S, H, N, N)");
  }
}

}  // namespace

Wkv7Result wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& a, const at::Tensor& b, const at::Tensor& sequence_starts,
                const at::Tensor& initial_state, const Wkv7Options& options) {
  check_arguments({r, w, k, v, a, b}, sequence_starts, initial_state);
  if (r.scalar_type() == at::kBFloat16) {
    const auto wide = [](const at::Tensor& x) { return x.to(at::kFloat); };
    const Wkv7Result result =
        wkv7(wide(r), wide(w), wide(k), wide(v), wide(a), wide(b), sequence_starts, initial_state, options);
    return {.y = result.y.to(at::kBFloat16), .final_state = result.final_state};
  }
  const at::Tensor host_bounds = sequence_bounds(sequence_starts, r.size(1));
  const auto chunks = host_bounds[1][sequence_starts.numel()].item<std::int64_t>();
  const at::Tensor bounds = queued_copy(host_bounds, r.device());
  variable_list tensors = {r, w, k, v, a, b, initial_state};
  bool needs_gradients = false;
  for (at::Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    tensor = tensor.contiguous();
    needs_gradients = needs_gradients || tensor.requires_grad();
  }
  if (needs_gradients && at::GradMode::is_enabled()) {
    const variable_list outputs =
        Wkv7::apply(tensors[0], tensors[1], tensors[2], tensors[3], tensors[4], tensors[5],
                    optional_tensor(tensors[6]), bounds, chunks, options);
    return {.y = outputs[0], .final_state = outputs[1]};
  }
  tensors.push_back(bounds);
  return run_forward(Call(std::move(tensors), chunks, options), Kept{});
}

}  // namespace vrwkv::kernels
