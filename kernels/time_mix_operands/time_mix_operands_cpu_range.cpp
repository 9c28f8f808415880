// SPDX-License-Identifier: Apache-2.0
// With x = k k_k, s = 1 / max(|x|, least) and kk = x s, the gradients are, D for "the loss by",
//
//   Dkk      = lr Db - Da
//   Dx       = s (Dkk - kk (kk . Dkk)), without the second term below the least norm
//   Dk       = k_k Dx + (1 + (lr - 1) k_a) Dk'
//   Diclr    = lr (1 - lr) (kk . Db + k k_a Dk')
//   Dk_k     = sum k Dx,  Dk_a = sum (lr - 1) k Dk'        over tokens
//   Dv       = (1 - gate) Dv'
//   Dv_first = gate Dv' + what comes by v_first itself
//   Dv_gate  = gate (1 - gate) (v_first - v) Dv'
#include "kernels/time_mix_operands/time_mix_operands_cpu_range.h"

#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// sigmoid(x), and its derivative without the cancellation of 1 - sigmoid(x).
struct Sigmoid {
  [[gnu::always_inline]] explicit Sigmoid(Float x)
      : exp_minus_x(exp(-x)), value(1.0F / (1.0F + exp_minus_x)) {}
  [[gnu::always_inline]] Float slope() const { return value * (exp_minus_x * value); }

  Float exp_minus_x, value;
};

/// Of the head whose first element is `at` in activations and `channel` in parameters.
template <class Element>
float inverse_norm(const TimeMixOperandsInputs<Element>& in, std::int64_t at, std::int64_t channel) {
  Float square = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float x = load(in.k + at + j) * load(in.k_k + channel + j);
    square += x * x;
  }
  const float norm = __builtin_sqrtf(lane_sum(square));
  return 1.0F / (norm < kLeastNorm ? kLeastNorm : norm);
}

template <class Element>
void head_forward(const TimeMixOperandsInputs<Element>& in, const TimeMixOperandsOutputs<Element>& out,
                  float inverse, std::int64_t at, std::int64_t channel) {
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float k = load(in.k + at + j), lr = Sigmoid(load(in.iclr + at + j)).value;
    const Float kk = k * load(in.k_k + channel + j) * inverse;
    store(out.k + at + j, k * (1.0F + (lr - 1.0F) * load(in.k_a + channel + j)));
    store(out.a + at + j, -kk);
    store(out.b + at + j, kk * lr);
  }
}

template <class Element>
void values_forward(const TimeMixOperandsInputs<Element>& in, Element* out, std::int64_t begin,
                    std::int64_t end) {
  for (std::int64_t i = begin; i < end; i += kLanes) {
    const Float v = load(in.v + i);
    store(out + i, v + (load(in.v_first + i) - v) * Sigmoid(load(in.v_gate + i)).value);
  }
}

template <class Element>
void values_backward(const TimeMixOperandsInputs<Element>& in,
                     const TimeMixOperandsOutputGradients<Element>& gradients_in,
                     const TimeMixOperandsInputGradients<Element>& out, std::int64_t begin,
                     std::int64_t end) {
  for (std::int64_t i = begin; i < end; i += kLanes) {
    const Sigmoid gate(load(in.v_gate + i));
    const Float dv = load(gradients_in.v + i), dv_first = dv * gate.value;
    const Float more = gradients_in.v_first == nullptr ? Float{} : load(gradients_in.v_first + i);
    store(out.v + i, dv - dv_first);
    store(out.v_first + i, dv_first + more);
    store(out.v_gate + i, dv * (load(in.v_first + i) - load(in.v + i)) * gate.slope());
  }
}

/// kk . Dkk of one head.
template <class Element>
float along_key(const TimeMixOperandsInputs<Element>& in,
                const TimeMixOperandsOutputGradients<Element>& gradients_in, float inverse, std::int64_t at,
                std::int64_t channel) {
  Float sum = {};
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Float lr = Sigmoid(load(in.iclr + at + j)).value;
    const Float kk = load(in.k + at + j) * load(in.k_k + channel + j) * inverse;
    sum += kk * (lr * load(gradients_in.b + at + j) - load(gradients_in.a + at + j));
  }
  return lane_sum(sum);
}

/// Adds to the sums of the range, `dk_k` and `dk_a`.
template <class Element>
void head_backward(const TimeMixOperandsInputs<Element>& in,
                   const TimeMixOperandsOutputGradients<Element>& gradients_in,
                   const TimeMixOperandsInputGradients<Element>& out, float inverse, std::int64_t at,
                   std::int64_t channel, float* dk_k, float* dk_a) {
  const bool through_norm = inverse < 1.0F / kLeastNorm;
  const float along = through_norm ? along_key(in, gradients_in, inverse, at, channel) : 0.0F;
  for (std::int64_t j = 0; j < in.head_size; j += kLanes) {
    const Sigmoid lr(load(in.iclr + at + j));
    const Float k = load(in.k + at + j), k_k = load(in.k_k + channel + j), k_a = load(in.k_a + channel + j);
    const Float db = load(gradients_in.b + at + j), dk_out = load(gradients_in.k + at + j);
    const Float kk = k * k_k * inverse, below_one = lr.value - 1.0F;
    const Float dkk = lr.value * db - load(gradients_in.a + at + j);
    const Float dx = (dkk - kk * along) * inverse;
    store(out.k + at + j, dx * k_k + dk_out * (1.0F + below_one * k_a));
    store(out.iclr + at + j, (db * kk + dk_out * k * k_a) * lr.slope());
    store(dk_k + channel + j, load(dk_k + channel + j) + dx * k);
    store(dk_a + channel + j, load(dk_a + channel + j) + dk_out * k * below_one);
  }
}

}  // namespace

template <class Element>
void time_mix_operands_forward_range(const TimeMixOperandsInputs<Element>& in,
                                     const TimeMixOperandsOutputs<Element>& out, const TokenRange& range) {
  const std::int64_t channels = in.heads * in.head_size;
  for (std::int64_t t = range.begin; t < range.end; ++t) {
    for (std::int64_t head = 0; head < in.heads; ++head) {
      const std::int64_t channel = head * in.head_size, at = t * channels + channel;
      const float inverse = inverse_norm(in, at, channel);
      out.inverse_norm[t * in.heads + head] = inverse;
      head_forward(in, out, inverse, at, channel);
    }
    if (out.v != nullptr) values_forward(in, out.v, t * channels, (t + 1) * channels);
  }
}

template <class Element>
void time_mix_operands_backward_range(const TimeMixOperandsInputs<Element>& in,
                                      const TimeMixOperandsOutputGradients<Element>& gradients_in,
                                      const TimeMixOperandsInputGradients<Element>& gradients_out,
                                      const TokenRange& range) {
  const std::int64_t channels = in.heads * in.head_size;
  float* dk_k = gradients_out.range_sums + range.index * 2 * channels;
  float* dk_a = dk_k + channels;
  for (std::int64_t i = 0; i < 2 * channels; i += kLanes) store(dk_k + i, Float{});
  for (std::int64_t t = range.begin; t < range.end; ++t) {
    for (std::int64_t head = 0; head < in.heads; ++head) {
      const std::int64_t channel = head * in.head_size;
      head_backward(in, gradients_in, gradients_out, gradients_in.inverse_norm[t * in.heads + head],
                    t * channels + channel, channel, dk_k, dk_a);
    }
    if (gradients_out.v != nullptr)
      values_backward(in, gradients_in, gradients_out, t * channels, (t + 1) * channels);
  }
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
