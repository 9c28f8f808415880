// SPDX-License-Identifier: Apache-2.0
// A warp computes one token's head at a time. The gradients are those of time_mix_operands_cpu_range.cpp.
#include <cmath>
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/head_row.h"
#include "kernels/device/head_size.h"
#include "kernels/time_mix_operands/time_mix_operands_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::head_sum;
using device::HeadRow;
using device::kWarpLanes;
using device::load_row;
using device::store_row;

constexpr int kWarps = 8;

/// sigmoid(x), and its derivative without the cancellation of 1 - sigmoid(x).
struct Sigmoid {
  __device__ explicit Sigmoid(float x)
      : exp_minus_x(expf(x < -88.0F ? 88.0F : -x)), value(1.0F / (1.0F + exp_minus_x)) {}
  __device__ float slope() const { return value * (exp_minus_x * value); }

  float exp_minus_x, value;  // finite
};

/// What is loaded again after `value` was stored as an Element.
template <class Element>
__device__ float rounded(float value) {
  return to_float(from_float<Element>(value));
}

template <class Element, int kHeadSize>
__global__ void __launch_bounds__(kWarps* kWarpLanes)
    time_mix_operands_forward_kernel(const TimeMixOperandsInputs<Element> in,
                                     const TimeMixOperandsOutputs<Element> out) {
  using Row = HeadRow<kHeadSize>;
  const int warp = device::thread_index() / kWarpLanes;
  const std::int64_t row = static_cast<std::int64_t>(device::block_index()) * kWarps + warp;
  if (row >= in.tokens * in.heads) return;
  const std::int64_t at = row * kHeadSize, channel = row % in.heads * kHeadSize;
  const Row r = load_row<kHeadSize>(in.r + at), k = load_row<kHeadSize>(in.k + at);
  const Row iclr = load_row<kHeadSize>(in.iclr + at), k_k = load_row<kHeadSize>(in.k_k + channel);
  const Row k_a = load_row<kHeadSize>(in.k_a + channel), r_k = load_row<kHeadSize>(in.r_k + channel);
  const float norm = sqrtf(head_sum<kHeadSize>([&](int i) {
    const float x = k.at[i] * k_k.at[i];
    return x * x;
  }));
  const float inverse = 1.0F / (norm < kLeastNorm ? kLeastNorm : norm);
  Row k_out, a, b;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const float lr = Sigmoid(iclr.at[i]).value, kk = k.at[i] * k_k.at[i] * inverse;
    k_out.at[i] = rounded<Element>(k.at[i] * (1.0F + (lr - 1.0F) * k_a.at[i]));
    a.at[i] = -kk;
    b.at[i] = kk * lr;
  }
  const float bonus = head_sum<kHeadSize>([&](int i) { return r.at[i] * k_out.at[i] * r_k.at[i]; });
  if (device::thread_index() % kWarpLanes == 0) {
    out.inverse_norm[row] = inverse;
    out.bonus[row] = bonus;
  }
  store_row<kHeadSize>(out.k + at, k_out);
  store_row<kHeadSize>(out.a + at, a);
  store_row<kHeadSize>(out.b + at, b);
  if (out.v == nullptr) return;
  Row v = load_row<kHeadSize>(in.v + at);
  const Row v_first = load_row<kHeadSize>(in.v_first + at), v_gate = load_row<kHeadSize>(in.v_gate + at);
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) v.at[i] += (v_first.at[i] - v.at[i]) * Sigmoid(v_gate.at[i]).value;
  store_row<kHeadSize>(out.v + at, v);
}

/// Of the values of one token's head at `at`.
template <class Element, int kHeadSize>
__device__ __forceinline__ void values_backward(const TimeMixOperandsInputs<Element>& in,
                                                const TimeMixOperandsOutputGradients<Element>& gradients_in,
                                                const TimeMixOperandsInputGradients<Element>& out,
                                                std::int64_t at) {
  using Row = HeadRow<kHeadSize>;
  Row dv = load_row<kHeadSize>(gradients_in.v + at);
  const Row dv_bonus = load_row<kHeadSize>(gradients_in.bonus_v + at);
  Row dv_first = gradients_in.v_first == nullptr ? Row{} : load_row<kHeadSize>(gradients_in.v_first + at);
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) dv.at[i] += dv_bonus.at[i];
  if (in.v_gate == nullptr) {
#pragma unroll
    for (int i = 0; i < Row::kChannels; ++i) dv.at[i] += dv_first.at[i];
    store_row<kHeadSize>(out.v + at, dv);
    return;
  }
  const Row v = load_row<kHeadSize>(in.v + at), v_first = load_row<kHeadSize>(in.v_first + at);
  const Row v_gate = load_row<kHeadSize>(in.v_gate + at);
  Row dv_gate;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const Sigmoid gate(v_gate.at[i]);
    const float through_gate = dv.at[i] * gate.value;
    dv_gate.at[i] = dv.at[i] * (v_first.at[i] - v.at[i]) * gate.slope();
    dv.at[i] -= through_gate;
    dv_first.at[i] += through_gate;
  }
  store_row<kHeadSize>(out.v + at, dv);
  store_row<kHeadSize>(out.v_first + at, dv_first);
  store_row<kHeadSize>(out.v_gate + at, dv_gate);
}

/// Rows of the sums over tokens.
enum Parameter { kForKk, kForKa, kForRk, kParameters };

template <int kHeadSize>
struct Parameters {
  HeadRow<kHeadSize> k_k, k_a, r_k;
};

/// Of r and the keys of one token's head, number `row` of all. Adds to `sums`.
template <class Element, int kHeadSize>
__device__ __forceinline__ void keys_backward(const TimeMixOperandsInputs<Element>& in,
                                              const TimeMixOperandsOutputGradients<Element>& gradients_in,
                                              const TimeMixOperandsInputGradients<Element>& out,
                                              const Parameters<kHeadSize>& parameters, std::int64_t row,
                                              HeadRow<kHeadSize> (&sums)[kParameters]) {
  using Row = HeadRow<kHeadSize>;
  const Row &k_k = parameters.k_k, &k_a = parameters.k_a, &r_k = parameters.r_k;
  const std::int64_t at = row * kHeadSize;
  const float inverse = gradients_in.inverse_norm[row], d_bonus = gradients_in.bonus[row];
  const Row r = load_row<kHeadSize>(in.r + at), k = load_row<kHeadSize>(in.k + at);
  const Row iclr = load_row<kHeadSize>(in.iclr + at), dk_out = load_row<kHeadSize>(gradients_in.k + at);
  const Row da = load_row<kHeadSize>(gradients_in.a + at), db = load_row<kHeadSize>(gradients_in.b + at);
  Row dr = load_row<kHeadSize>(gradients_in.r + at), kk, dkk, dk, diclr;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const Sigmoid lr(iclr.at[i]);
    const float below_one = lr.value - 1.0F, scale = 1.0F + below_one * k_a.at[i];
    const float k_out = rounded<Element>(k.at[i] * scale);
    const float dk_all = dk_out.at[i] + r.at[i] * r_k.at[i] * d_bonus;
    kk.at[i] = k.at[i] * k_k.at[i] * inverse;
    dkk.at[i] = lr.value * db.at[i] - da.at[i];
    dr.at[i] += k_out * r_k.at[i] * d_bonus;
    dk.at[i] = dk_all * scale;
    diclr.at[i] = (db.at[i] * kk.at[i] + dk_all * k.at[i] * k_a.at[i]) * lr.slope();
    sums[kForKa].at[i] += dk_all * k.at[i] * below_one;
    sums[kForRk].at[i] += r.at[i] * k_out * d_bonus;
  }
  store_row<kHeadSize>(out.r + at, dr);
  store_row<kHeadSize>(out.iclr + at, diclr);
  const float along = head_sum<kHeadSize>([&](int i) { return kk.at[i] * dkk.at[i]; });
  const float through_norm = inverse < 1.0F / kLeastNorm ? along : 0.0F;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const float dx = (dkk.at[i] - kk.at[i] * through_norm) * inverse;
    dk.at[i] += dx * k_k.at[i];
    sums[kForKk].at[i] += dx * k.at[i];
  }
  store_row<kHeadSize>(out.k + at, dk);
}

/// A block has one head in one range of tokens, of which its warps take every kWarps-th.
template <class Element, int kHeadSize>
__global__ void __launch_bounds__(kWarps* kWarpLanes)
    time_mix_operands_backward_kernel(const TimeMixOperandsInputs<Element> in,
                                      const TimeMixOperandsOutputGradients<Element> gradients_in,
                                      const TimeMixOperandsInputGradients<Element> out) {
  const int warp = device::thread_index() / kWarpLanes;
  const std::int64_t range = device::block_index() / in.heads, head = device::block_index() % in.heads;
  const std::int64_t begin = range * kRangeTokens, end = begin + kRangeTokens;
  const std::int64_t channel = head * kHeadSize;
  const Parameters<kHeadSize> parameters{load_row<kHeadSize>(in.k_k + channel),
                                         load_row<kHeadSize>(in.k_a + channel),
                                         load_row<kHeadSize>(in.r_k + channel)};
  HeadRow<kHeadSize> sums[kParameters] = {};
  for (std::int64_t t = begin + warp; t < end && t < in.tokens; t += kWarps) {
    const std::int64_t row = t * in.heads + head;
    keys_backward<Element, kHeadSize>(in, gradients_in, out, parameters, row, sums);
    values_backward<Element, kHeadSize>(in, gradients_in, out, row * kHeadSize);
  }
  float* const to = out.range_sums + (range * kParameters * in.heads + head) * kHeadSize;
  device::store_block_sums<kWarps>(sums, to, in.heads * kHeadSize);
}

}  // namespace

template <class Element>
void time_mix_operands_forward(const TimeMixOperandsInputs<Element>& inputs,
                               const TimeMixOperandsOutputs<Element>& outputs, void* stream) {
  device::with_head_size("time_mix_operands", inputs.head_size, [&](auto head_size) {
    const std::int64_t blocks = (inputs.tokens * inputs.heads + kWarps - 1) / kWarps;
    device::launch(time_mix_operands_forward_kernel<Element, decltype(head_size)::value>, blocks,
                   kWarps * kWarpLanes, 0, stream, inputs, outputs);
  });
}

template <class Element>
void time_mix_operands_backward(const TimeMixOperandsInputs<Element>& inputs,
                                const TimeMixOperandsOutputGradients<Element>& output_gradients,
                                const TimeMixOperandsInputGradients<Element>& input_gradients, void* stream) {
  device::with_head_size("time_mix_operands", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(time_mix_operands_backward_kernel<Element, kHeadSize>,
                   token_ranges(inputs.tokens) * inputs.heads, kWarps * kWarpLanes,
                   kWarps * kParameters * kHeadSize * sizeof(float), stream, inputs, output_gradients,
                   input_gradients);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                         \
  template void time_mix_operands_forward(const TimeMixOperandsInputs<Element>&,           \
                                          const TimeMixOperandsOutputs<Element>&, void*);  \
  template void time_mix_operands_backward(const TimeMixOperandsInputs<Element>&,          \
                                           const TimeMixOperandsOutputGradients<Element>&, \
                                           const TimeMixOperandsInputGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
