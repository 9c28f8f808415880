// SPDX-License-Identifier: Apache-2.0
// With yhat the normalised y, s the bonus and z = weight yhat + bias + s v, so that out = z g, the gradients
// of a token's head are, D for "the loss by" and D. for Dout,
//
//   Dg = D. z           Dz = D. g           Dv = s Dz           Ds = sum Dz v
//   e = weight Dz       Dy = scale (e - mean(e) - yhat mean(e yhat))
//   Dweight = sum Dz yhat                   Dbias = sum Dz      over tokens
#include "kernels/norm_bonus_gate/norm_bonus_gate_cpu_range.h"

#include <cstdint>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/token_heads.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

struct Moments {
  float mean, scale;
};

template <class Element>
Moments measure(const NormBonusGateInputs<Element>& in, const HeadPlace& place) {
  const auto size = static_cast<float>(in.head_size);
  Float sum = {}, squares = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) sum += load(in.y + place.at + j);
  const float mean = lane_sum(sum) / size;
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float deviation = load(in.y + place.at + j) - mean;
    squares += deviation * deviation;
  }
  return {.mean = mean, .scale = 1.0F / __builtin_sqrtf(lane_sum(squares) / size + in.epsilon)};
}

template <class Element>
void head_forward(const NormBonusGateInputs<Element>& in, const HeadPlace& place, Moments moments,
                  Element* out) {
  const auto [at, channel, row] = place;
  const float bonus = in.bonus[row];
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float normed = (load(in.y + at + j) - moments.mean) * moments.scale;
    const Float z =
        normed * load(in.weight + channel + j) + load(in.bias + channel + j) + bonus * load(in.v + at + j);
    store(out + at + j, z * load(in.g + at + j));
  }
}

/// The sums over a token's head that its gradients need.
struct HeadSums {
  float d_bonus, e_mean, e_normed_mean;
};

template <class Element>
HeadSums backward_sums(const NormBonusGateInputs<Element>& in, const HeadPlace& place, Moments moments,
                       const Element* gradient) {
  const auto [at, channel, row] = place;
  Float d_bonus = {}, e_sum = {}, e_normed = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float d_z = load(gradient + at + j) * load(in.g + at + j);
    const Float e = d_z * load(in.weight + channel + j);
    d_bonus += d_z * load(in.v + at + j);
    e_sum += e;
    e_normed += e * ((load(in.y + at + j) - moments.mean) * moments.scale);
  }
  const auto size = static_cast<float>(in.head_size);
  return {.d_bonus = lane_sum(d_bonus),
          .e_mean = lane_sum(e_sum) / size,
          .e_normed_mean = lane_sum(e_normed) / size};
}

/// Adds to the sums of the range: rows of weight and bias.
template <class Element>
void head_backward(const NormBonusGateInputs<Element>& in, const HeadPlace& place, Moments moments,
                   const NormBonusGateGradients<Element>& out, float* d_weight, float* d_bias) {
  const auto [at, channel, row] = place;
  const float bonus = in.bonus[row];
  const HeadSums sums = backward_sums(in, place, moments, out.out);
  out.bonus[row] = sums.d_bonus;
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float v = load(in.v + at + j), weight = load(in.weight + channel + j);
    const Float normed = (load(in.y + at + j) - moments.mean) * moments.scale;
    const Float d_out = load(out.out + at + j), d_z = d_out * load(in.g + at + j);
    store(out.g + at + j, d_out * (normed * weight + load(in.bias + channel + j) + bonus * v));
    store(out.v + at + j, d_z * bonus);
    store(out.y + at + j, (d_z * weight - sums.e_mean - normed * sums.e_normed_mean) * moments.scale);
    add(d_weight + channel + j, d_z * normed);
    add(d_bias + channel + j, d_z);
  }
}

}  // namespace

template <class Element>
void norm_bonus_gate_forward_range(const NormBonusGateInputs<Element>& in,
                                   const NormBonusGateMoments& moments, Element* out,
                                   const TokenRange& range) {
  for_each_head(in, range, [&](const HeadPlace& place) {
    const Moments measured = measure(in, place);
    moments.mean[place.row] = measured.mean;
    moments.scale[place.row] = measured.scale;
    head_forward(in, place, measured, out);
  });
}

template <class Element>
void norm_bonus_gate_backward_range(const NormBonusGateInputs<Element>& in,
                                    const NormBonusGateMoments& moments,
                                    const NormBonusGateGradients<Element>& gradients,
                                    const TokenRange& range) {
  const std::int64_t channels = in.heads * in.head_size;
  float* d_weight = gradients.range_sums + range.index * 2 * channels;
  for (std::int64_t i = 0; i < 2 * channels; i += kLanes) store(d_weight + i, Float{});
  for_each_head(in, range, [&](const HeadPlace& place) {
    head_backward(in, place, {.mean = moments.mean[place.row], .scale = moments.scale[place.row]}, gradients,
                  d_weight, d_weight + channels);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                                       \
  template void norm_bonus_gate_forward_range(const NormBonusGateInputs<Element>&,                       \
                                              const NormBonusGateMoments&, Element*, const TokenRange&); \
  template void norm_bonus_gate_backward_range(const NormBonusGateInputs<Element>&,                      \
                                               const NormBonusGateMoments&,                              \
                                               const NormBonusGateGradients<Element>&, const TokenRange&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
