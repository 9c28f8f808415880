// SPDX-License-Identifier: Apache-2.0
#include "kernels/time_mix_operands/time_mix_operands.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/argument_checks.h"
#include "kernels/column_sums/column_sums.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"
#include "kernels/time_mix_operands/time_mix_operands_backend.h"

namespace vrwkv::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The inputs, contiguous; in block 0 without v, v_gate and v_first.
struct Call {
  at::Tensor k, iclr, k_k, k_a, v, v_gate, v_first;
  std::int64_t head_size;

  explicit Call(const variable_list& tensors, std::int64_t given_head_size)
      : k(tensors[0]),
        iclr(tensors[1]),
        k_k(tensors[2]),
        k_a(tensors[3]),
        v(tensors[4]),
        v_gate(tensors[5]),
        v_first(tensors[6]),
        head_size(given_head_size) {}

  std::int64_t heads() const { return k.size(1) / head_size; }
  at::Tensor empty_like_k() const { return at::empty(k.sizes(), k.options()); }
  at::Tensor empty_like_v() const { return v.defined() ? empty_like_k() : at::Tensor(); }
  at::Tensor empty_floats(at::IntArrayRef sizes) const {
    return at::empty(sizes, k.options().dtype(at::kFloat));
  }

  template <class Element>
  TimeMixOperandsInputs<Element> inputs() const {
    return {.tokens = k.size(0),
            .heads = heads(),
            .head_size = head_size,
            .k = elements<const Element>(k),
            .iclr = elements<const Element>(iclr),
            .v = elements<const Element>(v),
            .v_gate = elements<const Element>(v_gate),
            .v_first = elements<const Element>(v_first),
            .k_k = elements<const float>(k_k),
            .k_a = elements<const float>(k_a)};
  }
};

struct Forward {
  TimeMixOperands operands;  // v is undefined in block 0
  at::Tensor inverse_norm;
};

Forward run_forward(const Call& call) {
  const c10::DeviceGuard device(call.k.device());
  RecordCall record("vrwkv::time_mix_operands",
                    {call.k, call.iclr, call.k_k, call.k_a, call.v, call.v_gate, call.v_first});
  Forward result{.operands = {.k = call.empty_like_k(),
                              .v = call.empty_like_v(),
                              .a = call.empty_like_k(),
                              .b = call.empty_like_k(),
                              .v_first = call.v_first},
                 .inverse_norm = call.empty_floats({call.k.size(0), call.heads()})};
  const TimeMixOperands& operands = result.operands;
  with_element_of(call.k, [&](auto element) {
    using Element = decltype(element);
    const TimeMixOperandsOutputs<Element> outputs{.k = elements<Element>(operands.k),
                                                  .a = elements<Element>(operands.a),
                                                  .b = elements<Element>(operands.b),
                                                  .v = elements<Element>(operands.v),
                                                  .inverse_norm = elements<float>(result.inverse_norm)};
    if (call.k.is_cpu()) {
      cpu::time_mix_operands_forward(call.inputs<Element>(), outputs);
    } else {
      cuda::time_mix_operands_forward(call.inputs<Element>(), outputs, current_stream(call.k.device()));
    }
  });
  record.set_outputs({operands.k, operands.v, operands.a, operands.b, result.inverse_norm});
  return result;
}

/// Of k, iclr, k_k, k_a, v, v_gate, v_first.
variable_list run_backward(const Call& call, const TimeMixOperands& gradients,
                           const at::Tensor& inverse_norm) {
  const c10::DeviceGuard device(call.k.device());
  RecordCall record("vrwkv::time_mix_operands_backward",
                    {call.k, call.iclr, call.k_k, call.k_a, call.v, call.v_gate, call.v_first, gradients.k,
                     gradients.v, gradients.a, gradients.b, gradients.v_first, inverse_norm});
  const at::Tensor dk = call.empty_like_k(), diclr = call.empty_like_k();
  const at::Tensor dv = call.empty_like_v(), dv_gate = call.empty_like_v(), dv_first = call.empty_like_v();
  const at::Tensor range_sums = call.empty_floats({token_ranges(call.k.size(0)), 2, call.k.size(1)});
  with_element_of(call.k, [&](auto element) {
    using Element = decltype(element);
    const TimeMixOperandsOutputGradients<Element> gradients_in{
        .k = elements<const Element>(gradients.k),
        .a = elements<const Element>(gradients.a),
        .b = elements<const Element>(gradients.b),
        .v = elements<const Element>(gradients.v),
        .v_first = elements<const Element>(gradients.v_first),
        .inverse_norm = elements<const float>(inverse_norm)};
    const TimeMixOperandsInputGradients<Element> gradients_out{.k = elements<Element>(dk),
                                                               .iclr = elements<Element>(diclr),
                                                               .v = elements<Element>(dv),
                                                               .v_gate = elements<Element>(dv_gate),
                                                               .v_first = elements<Element>(dv_first),
                                                               .range_sums = elements<float>(range_sums)};
    if (call.k.is_cpu()) {
      cpu::time_mix_operands_backward(call.inputs<Element>(), gradients_in, gradients_out);
    } else {
      cuda::time_mix_operands_backward(call.inputs<Element>(), gradients_in, gradients_out,
                                       current_stream(call.k.device()));
    }
  });
  const at::Tensor parameters = column_sums(range_sums);
  record.set_outputs({dk, diclr, parameters, dv, dv_gate, dv_first});
  return {dk, diclr, parameters[0], parameters[1], dv, dv_gate, dv_first};
}

class TimeMixOperandsFunction : public torch::autograd::Function<TimeMixOperandsFunction> {
 public:
  /// k', a, b and, where v is given, v' and v_first.
  static variable_list forward(AutogradContext* context, const at::Tensor& k, const at::Tensor& iclr,
                               const at::Tensor& k_k, const at::Tensor& k_a,
                               const std::optional<at::Tensor>& v, const std::optional<at::Tensor>& v_gate,
                               const std::optional<at::Tensor>& v_first, std::int64_t head_size) {
    variable_list tensors = {k,
                             iclr,
                             k_k,
                             k_a,
                             v.value_or(at::Tensor()),
                             v_gate.value_or(at::Tensor()),
                             v_first.value_or(at::Tensor())};
    const Forward result = run_forward(Call(tensors, head_size));
    tensors.push_back(result.inverse_norm);
    context->save_for_backward(tensors);
    context->saved_data["head_size"] = head_size;
    variable_list outputs = {result.operands.k, result.operands.a, result.operands.b};
    if (v.has_value()) outputs.insert(outputs.end(), {result.operands.v, *v_first});
    context->set_materialize_grads(false);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    const variable_list saved = context->get_saved_variables();
    const Call call(saved, context->saved_data["head_size"].toInt());
    const auto dense_or_zeros = [&](const at::Tensor& gradient) {
      return gradient.defined() ? dense(gradient) : at::zeros(call.k.sizes(), call.k.options());
    };
    TimeMixOperands gradients{.k = dense_or_zeros(output_gradients[0]),
                              .v = {},
                              .a = dense_or_zeros(output_gradients[1]),
                              .b = dense_or_zeros(output_gradients[2]),
                              .v_first = {}};
    if (call.v.defined()) {
      gradients.v = dense_or_zeros(output_gradients[3]);
      if (output_gradients[4].defined()) gradients.v_first = dense(output_gradients[4]);
    }
    variable_list input_gradients = run_backward(call, gradients, saved[7]);
    input_gradients.emplace_back();  // none for the head size
    return input_gradients;
  }
};

void check_arguments(const at::Tensor& k, const at::Tensor& v, const at::Tensor& iclr,
                     const at::Tensor& v_gate, const at::Tensor& v_first, const at::Tensor& k_k,
                     const at::Tensor& k_a, std::int64_t head_size) {
  constexpr const char* kWhere = "time_mix_operands";
  check_activation(kWhere, "k", k, k);
  if (k.dim() != 2 || k.size(0) == 0 || head_size <= 0 || head_size % 16 != 0 || k.size(1) == 0 ||
      k.size(1) % head_size != 0) {
    throw ShapeError(
        "time_mix_operands: k is {} but should be (T, C) with T > 0 and C a multiple of the head size {}, "
        "itself one of 16.",
        shape_text(k.sizes()), head_size);
  }
  check_activation(kWhere, "v", v, k);
  check_activation(kWhere, "iclr", iclr, k);
  if (v_gate.defined() != v_first.defined()) {
    throw ShapeError("time_mix_operands: {} is missing (v_gate and v_first come together or not at all).",
                     v_gate.defined() ? "v_first" : "v_gate");
  }
  if (v_gate.defined()) {
    check_activation(kWhere, "v_gate", v_gate, k);
    check_activation(kWhere, "v_first", v_first, k);
  }
  check_vector(kWhere, "k_k", k_k, k.size(1), k.device());
  check_vector(kWhere, "k_a", k_a, k.size(1), k.device());
}

}  // namespace

TimeMixOperands time_mix_operands(const at::Tensor& k, const at::Tensor& v, const at::Tensor& iclr,
                                  const at::Tensor& v_gate, const at::Tensor& v_first, const at::Tensor& k_k,
                                  const at::Tensor& k_a, std::int64_t head_size) {
  check_arguments(k, v, iclr, v_gate, v_first, k_k, k_a, head_size);
  const auto with_gate = [&](const at::Tensor& tensor) {
    return v_gate.defined() ? std::optional(dense(tensor)) : std::nullopt;
  };
  const variable_list outputs = TimeMixOperandsFunction::apply(
      dense(k), dense(iclr), dense(k_k.reshape({-1})), dense(k_a.reshape({-1})), with_gate(v),
      with_gate(v_gate), with_gate(v_first), head_size);
  const bool mixes_values = v_gate.defined();
  return {.k = outputs[0],
          .v = mixes_values ? outputs[3] : v,
          .a = outputs[1],
          .b = outputs[2],
          .v_first = mixes_values ? outputs[4] : at::Tensor()};
}

}  // namespace vrwkv::kernels
