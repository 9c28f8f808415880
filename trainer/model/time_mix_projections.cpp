// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/time_mix_projections.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/fp32_product/fp32_product.h"
#include "kernels/norm_shift_mix/norm_shift_mix.h"

namespace vrwkv::model {
namespace {

using kernels::fp32_product;
using kernels::NormShiftMixArguments;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Places in the list of differentiable inputs, and of the mixes among one another.
enum Input : std::size_t {
  kX,
  kNormWeight,
  kNormBias,
  kFirstMix,
  kReceptance = kFirstMix + 6,
  kKey,
  kValue,
  kFirstLowRank
};
enum Mix : std::int64_t { kR, kW, kK, kV, kA, kG };

/// Which mix a low-rank map reads, in the order of the inputs; the value's gate comes last and may be
/// missing.
constexpr std::array kLowRankMixes = {kW, kA, kG, kV};
constexpr std::array kLowRankActivations = {LowRank::Activation::kTanh, LowRank::Activation::kNone,
                                            LowRank::Activation::kSigmoid, LowRank::Activation::kNone};
constexpr std::size_t kGateMap = 2;  // has no bias

/// The maps in that order, as inputs: bias (but for the gate), down, up.
variable_list low_rank_inputs(const TimeMixWeights& weights) {
  variable_list inputs;
  for (const LowRank* map : {&weights.decay, &weights.iclr, &weights.gate, &weights.value_gate}) {
    if (!map->down.defined()) continue;
    if (map->bias.defined()) inputs.push_back(map->bias);
    inputs.insert(inputs.end(), {map->down, map->up});
  }
  return inputs;
}

std::size_t low_rank_maps(std::size_t inputs) { return inputs - kFirstLowRank > 8 ? 4 : 3; }

/// Where map number i begins among the inputs.
std::size_t first_of_map(std::size_t i) { return kFirstLowRank + 3 * i - (i > kGateMap ? 1 : 0); }

LowRank map_of(at::TensorList inputs, std::size_t i) {
  const std::size_t first = first_of_map(i);
  const bool biased = i != kGateMap;
  return {.bias = biased ? inputs[first] : at::Tensor(),
          .down = inputs[first + (biased ? 1 : 0)],
          .up = inputs[first + (biased ? 2 : 1)],
          .activation = kLowRankActivations[i]};
}

void activate_in_place(at::Tensor& hidden, LowRank::Activation activation) {
  if (activation == LowRank::Activation::kTanh) hidden.tanh_();
  if (activation == LowRank::Activation::kSigmoid) hidden.sigmoid_();
}

/// Columns beside the activations of a low-rank map: the first holds ones and meets the bias, so that one
/// product applies and differentiates both; the others hold zeros and keep rows aligned for tensor cores.
constexpr std::int64_t kBiasColumns = 8;

/// (T, rank + kBiasColumns), ready for the activations in its first columns.
at::Tensor with_bias_columns(std::int64_t tokens, std::int64_t rank, const at::Tensor& like) {
  at::Tensor columns = at::empty({tokens, rank + kBiasColumns}, like.options());
  columns.narrow(1, rank, kBiasColumns).zero_();
  columns.narrow(1, rank, 1).fill_(1);
  return columns;
}

/// `up` and below it the bias and zeros: (rank + kBiasColumns, C), of the type of `like`.
at::Tensor up_with_bias(const LowRank& map, const at::Tensor& like) {
  const std::int64_t rank = map.up.size(0);
  at::Tensor rows = at::zeros({rank + kBiasColumns, map.up.size(1)}, like.options());
  rows.narrow(0, 0, rank).copy_(map.up);
  if (map.bias.defined()) rows[rank].copy_(map.bias.view({-1}));
  return rows;
}

/// @param activated  the forward's, whose derivative is a function of it.
at::Tensor activation_gradient(const at::Tensor& gradient, const at::Tensor& activated,
                               LowRank::Activation activation) {
  switch (activation) {
    case LowRank::Activation::kTanh:
      return at::tanh_backward(gradient, activated);
    case LowRank::Activation::kSigmoid:
      return at::sigmoid_backward(gradient, activated);
    case LowRank::Activation::kNone:
      break;
  }
  return gradient;
}

/// What has no gradient.
struct Constants {
  double epsilon;
  at::Tensor sequence_starts, previous;
};

NormShiftMixArguments shift_arguments(at::TensorList inputs, const Constants& constants) {
  return {.x = inputs[kX],
          .weight = inputs[kNormWeight],
          .bias = inputs[kNormBias],
          .epsilon = constants.epsilon,
          .mixes = {inputs.begin() + kFirstMix, inputs.begin() + kReceptance},
          .sequence_starts = constants.sequence_starts,
          .previous = constants.previous};
}

struct Forward {
  variable_list outputs;    // r, k, v, then one a low-rank map
  variable_list activated;  // one a low-rank map, with its bias columns
  at::Tensor mixes, last, x;
  at::Tensor kept;  // of norm_shift_mix
};

Forward run_forward(at::TensorList inputs, const NormShiftMixArguments& shift, bool keeps) {
  Forward result;
  const kernels::NormShiftMix shifted =
      kernels::norm_shift_mix_forward(shift, keeps ? &result.kept : nullptr);
  result.last = shifted.last;
  result.x = shifted.x;
  result.mixes = shifted.mixed;
  const at::Tensor& m = shifted.mixed;
  for (const auto& [weight, mix] : {std::pair{kReceptance, kR}, {kKey, kK}, {kValue, kV}})
    result.outputs.push_back(at::mm(m[mix], typed_as(inputs[weight], m).t()));
  for (std::size_t i = 0; i < low_rank_maps(inputs.size()); ++i) {
    const LowRank map = map_of(inputs, i);
    const std::int64_t rank = map.down.size(1);
    const at::Tensor activated = with_bias_columns(m.size(1), rank, m);
    at::Tensor hidden = activated.narrow(1, 0, rank);
    at::mm_out(hidden, m[kLowRankMixes[i]], typed_as(map.down, m));
    activate_in_place(hidden, map.activation);
    result.outputs.push_back(at::mm(activated, up_with_bias(map, m)));
    result.activated.push_back(activated);
  }
  return result;
}

class Projections : public torch::autograd::Function<Projections> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs, const Constants& constants) {
    const Forward result = run_forward(inputs, shift_arguments(inputs, constants), /*keeps=*/true);
    variable_list saved = inputs.vec();
    saved.insert(saved.end(), result.activated.begin(), result.activated.end());
    saved.insert(saved.end(), {result.mixes, result.kept, constants.sequence_starts, constants.previous});
    context->save_for_backward(saved);
    context->saved_data["inputs"] = static_cast<std::int64_t>(inputs.size());
    context->saved_data["epsilon"] = constants.epsilon;
    variable_list outputs = result.outputs;
    outputs.insert(outputs.end(), {result.last, result.x});
    context->mark_non_differentiable({result.last});
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    const variable_list saved = context->get_saved_variables();
    const auto count = static_cast<std::size_t>(context->saved_data["inputs"].toInt());
    const at::TensorList inputs = at::TensorList(saved).slice(0, count);
    const at::TensorList activated = at::TensorList(saved).slice(count, low_rank_maps(count));
    const at::Tensor& kept = saved[saved.size() - 3];
    const NormShiftMixArguments shift =
        shift_arguments(inputs, {.epsilon = context->saved_data["epsilon"].toDouble(),
                                 .sequence_starts = saved[saved.size() - 2],
                                 .previous = saved[saved.size() - 1]});
    const at::Tensor& m = saved[saved.size() - 4];
    variable_list gradients(count + 1);  // none for the constants
    at::Tensor d_m = at::empty_like(m);
    std::size_t output = 0;
    for (const auto& [weight, mix] : {std::pair{kReceptance, kR}, {kKey, kK}, {kValue, kV}}) {
      const at::Tensor& d_out = d_outputs[output++];
      if (context->needs_input_grad(weight)) gradients[weight] = fp32_product(d_out.t(), m[mix]);
      at::Tensor d_mix = d_m[mix];
      at::mm_out(d_mix, d_out, typed_as(inputs[weight], m));
    }
    for (std::size_t i = 0; i < low_rank_maps(count); ++i)
      low_rank_backward(*context, inputs, i, m[kLowRankMixes[i]], activated[i], d_outputs[output++],
                        d_m[kLowRankMixes[i]], gradients);
    const auto d_shift = kernels::norm_shift_mix_backward(shift, kept, d_m, d_outputs.back());
    gradients[kX] = d_shift.x;
    gradients[kNormWeight] = d_shift.weight;
    gradients[kNormBias] = d_shift.bias;
    for (std::size_t mix = 0; mix < d_shift.mixes.size(); ++mix)
      gradients[kFirstMix + mix] = d_shift.mixes[mix].view_as(inputs[kFirstMix + mix]);
    return gradients;
  }

 private:
  /// @param d_mix  receives the gradient of `mix`; that of the value is there already, and is added to.
  static void low_rank_backward(const AutogradContext& context, at::TensorList inputs, std::size_t i,
                                const at::Tensor& mix, const at::Tensor& activated, const at::Tensor& d_out,
                                at::Tensor d_mix, variable_list& gradients) {
    const LowRank map = map_of(inputs, i);
    const std::int64_t rank = map.down.size(1);
    const at::Tensor d_hidden = activation_gradient(at::mm(d_out, typed_as(map.up, mix).t()),
                                                    activated.narrow(1, 0, rank), map.activation);
    std::size_t place = first_of_map(i);
    if (context.needs_input_grad(place)) {  // the maps learn whole or not at all
      const at::Tensor d_up = fp32_product(activated.t(), d_out);
      if (map.bias.defined()) gradients[place++] = d_up[rank].view_as(map.bias);
      gradients[place++] = fp32_product(mix.t(), d_hidden);
      gradients[place] = d_up.narrow(0, 0, rank);
    }
    const at::Tensor down = typed_as(map.down, mix).t();
    if (kLowRankMixes[i] == kV) {
      d_mix.addmm_(d_hidden, down);
    } else {
      at::mm_out(d_mix, d_hidden, down);
    }
  }
};

}  // namespace

TimeMixProjections project_time_mix(const at::Tensor& x, const LayerNorm& norm, const TimeMixWeights& weights,
                                    const at::Tensor& sequence_starts, const at::Tensor& previous) {
  variable_list inputs = {x,           norm.weight(),      norm.bias(), weights.x_r,
                          weights.x_w, weights.x_k,        weights.x_v, weights.x_a,
                          weights.x_g, weights.receptance, weights.key, weights.value};
  const variable_list maps = low_rank_inputs(weights);
  inputs.insert(inputs.end(), maps.begin(), maps.end());
  const Constants constants{
      .epsilon = norm.epsilon(), .sequence_starts = sequence_starts, .previous = previous};
  const bool differentiates = at::GradMode::is_enabled() &&
                              std::any_of(inputs.begin(), inputs.end(),
                                          [](const at::Tensor& input) { return input.requires_grad(); });
  variable_list out;
  if (differentiates) {
    out = Projections::apply(at::TensorList(inputs), constants);
  } else {
    Forward result = run_forward(inputs, shift_arguments(inputs, constants), /*keeps=*/false);
    out = std::move(result.outputs);
    out.insert(out.end(), {result.last, result.x});
  }
  TimeMixProjections projections{.r = out[0],
                                 .w = out[3],
                                 .k = out[1],
                                 .v = out[2],
                                 .iclr = out[4],
                                 .g = out[5],
                                 .v_gate = {},
                                 .last = out[out.size() - 2],
                                 .x = out.back()};
  if (weights.value_gate.down.defined()) projections.v_gate = out[6];
  return projections;
}

}  // namespace vrwkv::model
