// SPDX-License-Identifier: Apache-2.0
// With yhat the normalised y, s = sum r k r_k and z = weight yhat + bias + s v, so that out = z g, the
// gradients of a token's head are, D for "the loss by" and D. for Dout,
//
//   Dg = D. z           Dz = D. g           Dv = s Dz           Ds = sum Dz v
//   Dr = Ds k r_k       Dk = Ds r r_k       e = weight Dz       Dy = scale (e - mean(e) - yhat mean(e yhat))
//   Dweight = sum Dz yhat                   Dbias = sum Dz      Dr_k = sum Ds r k        over tokens
#include "kernels/norm_bonus_gate/norm_bonus_gate_cpu_range.h"

#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// Where a token's head begins: in activations, in vectors of parameters, and among the heads of all tokens.
struct Place {
  std::int64_t at, channel, row;
};

/// Calls run(place) for the heads of the tokens in a range.
template <class Element, class Run>
void for_each_head(const NormBonusGateInputs<Element>& in, const TokenRange& range, const Run& run) {
  for (std::int64_t t = range.begin; t < range.end; ++t)
    for (std::int64_t head = 0; head < in.heads; ++head) {
      const std::int64_t row = t * in.heads + head;
      run(Place{.at = row * in.head_size, .channel = head * in.head_size, .row = row});
    }
}

struct Moments {
  float mean, scale;
};

template <class Element>
Moments measure(const NormBonusGateInputs<Element>& in, const Place& place) {
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
void head_forward(const NormBonusGateInputs<Element>& in, const Place& place, Moments moments, Element* out) {
  const auto [at, channel, row] = place;
  Float products = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes)
    products += load(in.r + at + j) * load(in.k + at + j) * load(in.r_k + channel + j);
  const float bonus = lane_sum(products);
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float normed = (load(in.y + at + j) - moments.mean) * moments.scale;
    const Float z =
        normed * load(in.weight + channel + j) + load(in.bias + channel + j) + bonus * load(in.v + at + j);
    store(out + at + j, z * load(in.g + at + j));
  }
}

/// The sums over a token's head that its gradients need.
struct HeadSums {
  float bonus, d_bonus, e_mean, e_normed_mean;
};

template <class Element>
HeadSums backward_sums(const NormBonusGateInputs<Element>& in, const Place& place, Moments moments,
                       const Element* gradient) {
  const auto [at, channel, row] = place;
  Float bonus = {}, d_bonus = {}, e_sum = {}, e_normed = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float d_z = load(gradient + at + j) * load(in.g + at + j);
    const Float e = d_z * load(in.weight + channel + j);
    bonus += load(in.r + at + j) * load(in.k + at + j) * load(in.r_k + channel + j);
    d_bonus += d_z * load(in.v + at + j);
    e_sum += e;
    e_normed += e * ((load(in.y + at + j) - moments.mean) * moments.scale);
  }
  const auto size = static_cast<float>(in.head_size);
  return {.bonus = lane_sum(bonus),
          .d_bonus = lane_sum(d_bonus),
          .e_mean = lane_sum(e_sum) / size,
          .e_normed_mean = lane_sum(e_normed) / size};
}

[[gnu::always_inline]] inline void add(float* to, Float value) { store(to, load(to) + value); }

/// Adds to the sums of the range: rows of weight, bias and r_k.
template <class Element>
void head_backward(const NormBonusGateInputs<Element>& in, const Place& place, Moments moments,
                   const NormBonusGateGradients<Element>& out, float* d_weight, float* d_bias, float* d_r_k) {
  const auto [at, channel, row] = place;
  const HeadSums sums = backward_sums(in, place, moments, out.out);
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float r = load(in.r + at + j), k = load(in.k + at + j), v = load(in.v + at + j);
    const Float weight = load(in.weight + channel + j), r_k = load(in.r_k + channel + j);
    const Float normed = (load(in.y + at + j) - moments.mean) * moments.scale;
    const Float d_out = load(out.out + at + j), d_z = d_out * load(in.g + at + j);
    store(out.g + at + j, d_out * (normed * weight + load(in.bias + channel + j) + sums.bonus * v));
    store(out.v + at + j, d_z * sums.bonus);
    store(out.r + at + j, k * r_k * sums.d_bonus);
    store(out.k + at + j, r * r_k * sums.d_bonus);
    store(out.y + at + j, (d_z * weight - sums.e_mean - normed * sums.e_normed_mean) * moments.scale);
    add(d_weight + channel + j, d_z * normed);
    add(d_bias + channel + j, d_z);
    add(d_r_k + channel + j, r * k * sums.d_bonus);
  }
}

}  // namespace

template <class Element>
void norm_bonus_gate_forward_range(const NormBonusGateInputs<Element>& in,
                                   const NormBonusGateMoments& moments, Element* out,
                                   const TokenRange& range) {
  for_each_head(in, range, [&](const Place& place) {
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
  float* d_weight = gradients.range_sums + range.index * 3 * channels;
  for (std::int64_t i = 0; i < 3 * channels; i += kLanes) store(d_weight + i, Float{});
  for_each_head(in, range, [&](const Place& place) {
    head_backward(in, place, {.mean = moments.mean[place.row], .scale = moments.scale[place.row]}, gradients,
                  d_weight, d_weight + channels, d_weight + 2 * channels);
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
