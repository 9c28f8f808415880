// SPDX-License-Identifier: Apache-2.0
#include "kernels/time_mix_operands/time_mix_operands.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

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

/// The inputs, contiguous, in the order r, k, v, iclr, k_k, k_a, r_k and, not in block 0, v_gate, v_first.
struct Call {
  const at::Tensor& r() const { return tensors[0]; }
  const at::Tensor& v() const { return tensors[2]; }
  const at::Tensor& r_k() const { return tensors[6]; }
  bool mixes_values() const { return tensors.size() > 7; }

  at::Tensor empty_activation() const { return at::empty(r().sizes(), r().options()); }
  at::Tensor empty_unless_block_0() const { return mixes_values() ? empty_activation() : at::Tensor(); }
  at::Tensor empty_floats(at::IntArrayRef sizes) const {
    return at::empty(sizes, r().options().dtype(at::kFloat));
  }
  at::Tensor empty_head_floats() const { return empty_floats({r().size(0), r_k().size(0)}); }

  /// What the kernels read, in the same order: no values in block 0.
  variable_list read() const {
    variable_list all = tensors;
    if (!mixes_values()) all[2].reset();
    all.resize(9);
    return all;
  }

  template <class Element>
  TimeMixOperandsInputs<Element> inputs() const {
    const variable_list all = read();
    return {.tokens = r().size(0),
            .heads = r_k().size(0),
            .head_size = r_k().size(1),
            .r = elements<const Element>(all[0]),
            .k = elements<const Element>(all[1]),
            .iclr = elements<const Element>(all[3]),
            .v = elements<const Element>(all[2]),
            .v_gate = elements<const Element>(all[7]),
            .v_first = elements<const Element>(all[8]),
            .k_k = elements<const float>(all[4]),
            .k_a = elements<const float>(all[5]),
            .r_k = elements<const float>(all[6])};
  }

  variable_list tensors;
};

struct Forward {
  at::Tensor k, v, a, b, bonus;  // v is undefined in block 0
  at::Tensor inverse_norm;
};

Forward run_forward(const Call& call) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  RecordCall record("vrwkv::time_mix_operands", call.read());
  const Forward result{.k = call.empty_activation(),
                       .v = call.empty_unless_block_0(),
                       .a = call.empty_activation(),
                       .b = call.empty_activation(),
                       .bonus = call.empty_head_floats(),
                       .inverse_norm = call.empty_head_floats()};
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    const TimeMixOperandsOutputs<Element> outputs{.k = elements<Element>(result.k),
                                                  .a = elements<Element>(result.a),
                                                  .b = elements<Element>(result.b),
                                                  .v = elements<Element>(result.v),
                                                  .bonus = elements<float>(result.bonus),
                                                  .inverse_norm = elements<float>(result.inverse_norm)};
    if (r.is_cpu()) {
      cpu::time_mix_operands_forward(call.inputs<Element>(), outputs);
    } else {
      cuda::time_mix_operands_forward(call.inputs<Element>(), outputs, current_stream(r.device()));
    }
  });
  record.set_outputs({result.k, result.v, result.a, result.b, result.bonus, result.inverse_norm});
  return result;
}

/// Of the inputs, in their order.
variable_list run_backward(const Call& call, const TimeMixOperands& gradients,
                           const at::Tensor& inverse_norm) {
  const at::Tensor& r = call.r();
  const c10::DeviceGuard device(r.device());
  variable_list read = call.read();
  read.insert(read.end(), {gradients.r, gradients.k, gradients.v, gradients.a, gradients.b, gradients.bonus,
                           gradients.bonus_v, gradients.v_first, inverse_norm});
  RecordCall record("vrwkv::time_mix_operands_backward", read);
  const at::Tensor dr = call.empty_activation(), dk = call.empty_activation(), dv = call.empty_activation();
  const at::Tensor diclr = call.empty_activation(), dv_gate = call.empty_unless_block_0();
  const at::Tensor dv_first = call.empty_unless_block_0();
  const at::Tensor range_sums =
      call.empty_floats({token_ranges(r.size(0)), 3, call.r_k().size(0), call.r_k().size(1)});
  with_element_of(r, [&](auto element) {
    using Element = decltype(element);
    const TimeMixOperandsOutputGradients<Element> gradients_in{
        .r = elements<const Element>(gradients.r),
        .k = elements<const Element>(gradients.k),
        .v = elements<const Element>(gradients.v),
        .a = elements<const Element>(gradients.a),
        .b = elements<const Element>(gradients.b),
        .bonus_v = elements<const Element>(gradients.bonus_v),
        .v_first = elements<const Element>(gradients.v_first),
        .bonus = elements<const float>(gradients.bonus),
        .inverse_norm = elements<const float>(inverse_norm)};
    const TimeMixOperandsInputGradients<Element> gradients_out{.r = elements<Element>(dr),
                                                               .k = elements<Element>(dk),
                                                               .iclr = elements<Element>(diclr),
                                                               .v = elements<Element>(dv),
                                                               .v_gate = elements<Element>(dv_gate),
                                                               .v_first = elements<Element>(dv_first),
                                                               .range_sums = elements<float>(range_sums)};
    if (r.is_cpu()) {
      cpu::time_mix_operands_backward(call.inputs<Element>(), gradients_in, gradients_out);
    } else {
      cuda::time_mix_operands_backward(call.inputs<Element>(), gradients_in, gradients_out,
                                       current_stream(r.device()));
    }
  });
  const at::Tensor parameters = column_sums(range_sums);
  record.set_outputs({dr, dk, dv, diclr, parameters, dv_gate, dv_first});
  variable_list all = {dr, dk, dv, diclr, parameters[0].flatten(), parameters[1].flatten(), parameters[2]};
  if (call.mixes_values()) all.insert(all.end(), {dv_gate, dv_first});
  return all;
}

class TimeMixOperandsFunction : public torch::autograd::Function<TimeMixOperandsFunction> {
 public:
  /// r, k', v', a, b, the bonus, v' again, v_first.
  static variable_list forward(AutogradContext* context, at::TensorList inputs) {
    const Call call{inputs.vec()};
    const Forward result = run_forward(call);
    variable_list saved = call.tensors;
    saved.push_back(result.inverse_norm);
    context->save_for_backward(saved);
    context->set_materialize_grads(false);
    variable_list outputs = {call.r(), result.k,     call.v(), result.a,
                             result.b, result.bonus, call.v(), call.v()};
    if (call.mixes_values()) {
      outputs[2] = result.v;
      outputs[6] = result.v.detach();  // has an edge of its own, as an input has wherever it is returned
      outputs[7] = call.tensors[8];
    }
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    variable_list saved = context->get_saved_variables();
    const at::Tensor inverse_norm = saved.back();
    saved.pop_back();
    const Call call{std::move(saved)};
    const auto dense_or_zeros = [&](std::size_t i) {
      return output_gradients[i].defined() ? dense(output_gradients[i]) : at::zeros_like(call.r());
    };
    const at::Tensor& d_bonus = output_gradients[5];
    const TimeMixOperands gradients{
        .r = dense_or_zeros(0),
        .k = dense_or_zeros(1),
        .v = dense_or_zeros(2),
        .a = dense_or_zeros(3),
        .b = dense_or_zeros(4),
        .bonus = d_bonus.defined() ? dense(d_bonus) : call.empty_head_floats().zero_(),
        .bonus_v = dense_or_zeros(6),
        .v_first = output_gradients[7].defined() ? dense(output_gradients[7]) : at::Tensor()};
    return run_backward(call, gradients, inverse_norm);
  }
};

void check_arguments(const variable_list& inputs, const at::Tensor& v_gate, const at::Tensor& v_first) {
  constexpr const char* kWhere = "time_mix_operands";
  static constexpr const char* kNames[] = {"r", "k", "v", "iclr", "k_k", "k_a"};
  const at::Tensor &r = inputs[0], &r_k = inputs[6];
  check_activation(kWhere, "r", r, r);
  check_float32(kWhere, "r_k", r_k, r.device());
  if (r_k.dim() != 2 || r_k.numel() == 0 || r_k.size(1) % 16 != 0) {
    throw ShapeError("time_mix_operands: r_k is {} but should be (H, N) with N a multiple of 16.",
                     shape_text(r_k.sizes()));
  }
  if (r.dim() != 2 || r.size(0) == 0 || r.size(1) != r_k.numel()) {
    throw ShapeError("time_mix_operands: r is {} but should be (T, {}) with T > 0 (r_k is {}).",
                     shape_text(r.sizes()), r_k.numel(), shape_text(r_k.sizes()));
  }
  for (std::size_t i = 1; i < 4; ++i) check_activation(kWhere, kNames[i], inputs[i], r);
  if (v_gate.defined() != v_first.defined()) {
    throw ShapeError("time_mix_operands: {} is missing (v_gate and v_first come together or not at all).",
                     v_gate.defined() ? "v_first" : "v_gate");
  }
  if (v_gate.defined()) {
    check_activation(kWhere, "v_gate", v_gate, r);
    check_activation(kWhere, "v_first", v_first, r);
  }
  for (std::size_t i = 4; i < 6; ++i) check_vector(kWhere, kNames[i], inputs[i], r.size(1), r.device());
}

}  // namespace

TimeMixOperands time_mix_operands(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& iclr, const at::Tensor& v_gate, const at::Tensor& v_first,
                                  const at::Tensor& k_k, const at::Tensor& k_a, const at::Tensor& r_k) {
  variable_list inputs = {r, k, v, iclr, k_k, k_a, r_k};
  check_arguments(inputs, v_gate, v_first);
  for (std::size_t i = 4; i < 6; ++i) inputs[i] = inputs[i].reshape({-1});
  if (v_gate.defined()) inputs.insert(inputs.end(), {v_gate, v_first});
  for (at::Tensor& input : inputs) input = dense(input);
  const variable_list outputs = TimeMixOperandsFunction::apply(at::TensorList(inputs));
  return {.r = outputs[0],
          .k = outputs[1],
          .v = outputs[2],
          .a = outputs[3],
          .b = outputs[4],
          .bonus = outputs[5],
          .bonus_v = outputs[6],
          .v_first = outputs[7]};
}

}  // namespace vrwkv::kernels
