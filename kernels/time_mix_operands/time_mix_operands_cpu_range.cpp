// SPDX-License-Identifier: Apache-2.0
// With x = k k_k, s = 1 / max(|x|, least), kk = x s and k' as it was handed on, the gradients are, D for "the
// loss by",
//
//   DK'      = Dk' + r r_k Dbonus, Dk' what comes by k' itself
//   Dkk      = lr Db - Da
//   Dx       = s (Dkk - kk (kk . Dkk)), without the second term below the least norm
//   Dr       = what comes by r itself + k' r_k Dbonus
//   Dk       = k_k Dx + (1 + (lr - 1) k_a) DK'
//   Diclr    = lr (1 - lr) (kk . Db + k k_a DK')
//   Dk_k     = sum k Dx,  Dk_a = sum (lr - 1) k DK',  Dr_k = sum r k' Dbonus        over tokens
//   Dv       = (1 - gate) Dv'                        Dv' what comes by both v'
//   Dv_first = gate Dv' + what comes by v_first itself
//   Dv_gate  = gate (1 - gate) (v_first - v) Dv'
#include "kernels/time_mix_operands/time_mix_operands_cpu_range.h"

#include <cstdint>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/token_heads.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// sigmoid(x), and its derivative without the cancellation of 1 - sigmoid(x).
struct Sigmoid {
  [[gnu::always_inline]] explicit Sigmoid(Float x)
      : exp_minus_x(exp(-x)), value(1.0F / (1.0F + exp_minus_x)) {}
  [[gnu::always_inline]] Float slope() const { return value * (exp_minus_x * value); }

  Float exp_minus_x, value;
};

template <class Element>
float inverse_norm(const TimeMixOperandsInputs<Element>& in, const HeadPlace& place) {
  Float square = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float x = load(in.k + place.at + j) * load(in.k_k + place.channel + j);
    square += x * x;
  }
  const float norm = __builtin_sqrtf(lane_sum(square));
  return 1.0F / (norm < kLeastNorm ? kLeastNorm : norm);
}

template <class Element>
void keys_forward(const TimeMixOperandsInputs<Element>& in, const TimeMixOperandsOutputs<Element>& out,
                  const HeadPlace& place) {
  const auto [at, channel, row] = place;
  const float inverse = inverse_norm(in, place);
  Float bonus = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float k = load(in.k + at + j), lr = Sigmoid(load(in.iclr + at + j)).value;
    const Float kk = k * load(in.k_k + channel + j) * inverse;
    const Float k_out = rounded<Element>(k * (1.0F + (lr - 1.0F) * load(in.k_a + channel + j)));
    store(out.k + at + j, k_out);
    store(out.a + at + j, -kk);
    store(out.b + at + j, kk * lr);
    bonus += load(in.r + at + j) * k_out * load(in.r_k + channel + j);
  }
  out.inverse_norm[row] = inverse;
  out.bonus[row] = lane_sum(bonus);
}

template <class Element>
void values_forward(const TimeMixOperandsInputs<Element>& in, Element* out, const HeadPlace& place) {
  for (std::int64_t i = place.at; i < place.at + in.head_size; i += kLanes) {
    const Float v = load(in.v + i);
    store(out + i, v + (load(in.v_first + i) - v) * Sigmoid(load(in.v_gate + i)).value);
  }
}

template <class Element>
void values_backward(const TimeMixOperandsInputs<Element>& in,
                     const TimeMixOperandsOutputGradients<Element>& gradients_in,
                     const TimeMixOperandsInputGradients<Element>& out, const HeadPlace& place) {
  for (std::int64_t i = place.at; i < place.at + in.head_size; i += kLanes) {
    const Float dv = load(gradients_in.v + i) + load(gradients_in.bonus_v + i);
    const Float more = gradients_in.v_first == nullptr ? Float{} : load(gradients_in.v_first + i);
    if (in.v_gate == nullptr) {
      store(out.v + i, dv + more);
      continue;
    }
    const Sigmoid gate(load(in.v_gate + i));
    const Float dv_first = dv * gate.value;
    store(out.v + i, dv - dv_first);
    store(out.v_first + i, dv_first + more);
    store(out.v_gate + i, dv * (load(in.v_first + i) - load(in.v + i)) * gate.slope());
  }
}

/// kk . Dkk of one head.
template <class Element>
float along_key(const TimeMixOperandsInputs<Element>& in,
                const TimeMixOperandsOutputGradients<Element>& gradients_in, float inverse,
                const HeadPlace& place) {
  const auto [at, channel, row] = place;
  Float sum = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float lr = Sigmoid(load(in.iclr + at + j)).value;
    const Float kk = load(in.k + at + j) * load(in.k_k + channel + j) * inverse;
    sum += kk * (lr * load(gradients_in.b + at + j) - load(gradients_in.a + at + j));
  }
  return lane_sum(sum);
}

/// Of a range of tokens, the parts of the gradients of parameters.
struct RangeSums {
  float *k_k, *k_a, *r_k;
};

template <class Element>
void keys_backward(const TimeMixOperandsInputs<Element>& in,
                   const TimeMixOperandsOutputGradients<Element>& gradients_in,
                   const TimeMixOperandsInputGradients<Element>& out, const HeadPlace& place,
                   const RangeSums& sums) {
  const auto [at, channel, row] = place;
  const float inverse = gradients_in.inverse_norm[row], d_bonus = gradients_in.bonus[row];
  const bool through_norm = inverse < 1.0F / kLeastNorm;
  const float along = through_norm ? along_key(in, gradients_in, inverse, place) : 0.0F;
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Sigmoid lr(load(in.iclr + at + j));
    const Float r = load(in.r + at + j), k = load(in.k + at + j), db = load(gradients_in.b + at + j);
    const Float k_k = load(in.k_k + channel + j), k_a = load(in.k_a + channel + j);
    const Float r_k = load(in.r_k + channel + j);
    const Float kk = k * k_k * inverse, below_one = lr.value - 1.0F, scale = 1.0F + below_one * k_a;
    const Float k_out = rounded<Element>(k * scale);
    const Float dk_out = load(gradients_in.k + at + j) + r * r_k * d_bonus;
    const Float dkk = lr.value * db - load(gradients_in.a + at + j);
    const Float dx = (dkk - kk * along) * inverse;
    store(out.r + at + j, load(gradients_in.r + at + j) + k_out * r_k * d_bonus);
    store(out.k + at + j, dx * k_k + dk_out * scale);
    store(out.iclr + at + j, (db * kk + dk_out * k * k_a) * lr.slope());
    add(sums.k_k + channel + j, dx * k);
    add(sums.k_a + channel + j, dk_out * k * below_one);
    add(sums.r_k + channel + j, r * k_out * d_bonus);
  }
}

}  // namespace

template <class Element>
void time_mix_operands_forward_range(const TimeMixOperandsInputs<Element>& in,
                                     const TimeMixOperandsOutputs<Element>& out, const TokenRange& range) {
  for_each_head(in, range, [&](const HeadPlace& place) {
    keys_forward(in, out, place);
    if (out.v != nullptr) values_forward(in, out.v, place);
  });
}

template <class Element>
void time_mix_operands_backward_range(const TimeMixOperandsInputs<Element>& in,
                                      const TimeMixOperandsOutputGradients<Element>& gradients_in,
                                      const TimeMixOperandsInputGradients<Element>& gradients_out,
                                      const TokenRange& range) {
  const std::int64_t channels = in.heads * in.head_size;
  float* first = gradients_out.range_sums + range.index * 3 * channels;
  const RangeSums sums{.k_k = first, .k_a = first + channels, .r_k = first + 2 * channels};
  for (std::int64_t i = 0; i < 3 * channels; i += kLanes) store(first + i, Float{});
  for_each_head(in, range, [&](const HeadPlace& place) {
    keys_backward(in, gradients_in, gradients_out, place, sums);
    values_backward(in, gradients_in, gradients_out, place);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                                          \
  template void time_mix_operands_forward_range(const TimeMixOperandsInputs<Element>&,                      \
                                                const TimeMixOperandsOutputs<Element>&, const TokenRange&); \
  template void time_mix_operands_backward_range(                                                           \
      const TimeMixOperandsInputs<Element>&, const TimeMixOperandsOutputGradients<Element>&,                \
      const TimeMixOperandsInputGradients<Element>&, const TokenRange&);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
