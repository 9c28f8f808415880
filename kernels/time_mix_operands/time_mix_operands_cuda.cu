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

template <class Element, int kHeadSize>
__global__ void __launch_bounds__(kWarps* kWarpLanes)
    time_mix_operands_forward_kernel(const TimeMixOperandsInputs<Element> in,
                                     const TimeMixOperandsOutputs<Element> out) {
  using Row = HeadRow<kHeadSize>;
  const int warp = device::thread_index() / kWarpLanes;
  const std::int64_t row = static_cast<std::int64_t>(device::block_index()) * kWarps + warp;
  if (row >= in.tokens * in.heads) return;
  const std::int64_t at = row * kHeadSize, channel = row % in.heads * kHeadSize;
  const Row k = load_row<kHeadSize>(in.k + at), iclr = load_row<kHeadSize>(in.iclr + at);
  const Row k_k = load_row<kHeadSize>(in.k_k + channel), k_a = load_row<kHeadSize>(in.k_a + channel);
  const float norm = sqrtf(head_sum<kHeadSize>([&](int i) {
    const float x = k.at[i] * k_k.at[i];
    return x * x;
  }));
  const float inverse = 1.0F / (norm < kLeastNorm ? kLeastNorm : norm);
  if (device::thread_index() % kWarpLanes == 0) out.inverse_norm[row] = inverse;
  Row k_out, a, b;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const float lr = Sigmoid(iclr.at[i]).value, kk = k.at[i] * k_k.at[i] * inverse;
    k_out.at[i] = k.at[i] * (1.0F + (lr - 1.0F) * k_a.at[i]);
    a.at[i] = -kk;
    b.at[i] = kk * lr;
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
  const Row v = load_row<kHeadSize>(in.v + at), v_first = load_row<kHeadSize>(in.v_first + at);
  const Row v_gate = load_row<kHeadSize>(in.v_gate + at), dv_out = load_row<kHeadSize>(gradients_in.v + at);
  const Row more = gradients_in.v_first == nullptr ? Row{} : load_row<kHeadSize>(gradients_in.v_first + at);
  Row dv, dv_first, dv_gate;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const Sigmoid gate(v_gate.at[i]);
    dv_first.at[i] = dv_out.at[i] * gate.value;
    dv.at[i] = dv_out.at[i] - dv_first.at[i];
    dv_first.at[i] += more.at[i];
    dv_gate.at[i] = dv_out.at[i] * (v_first.at[i] - v.at[i]) * gate.slope();
  }
  store_row<kHeadSize>(out.v + at, dv);
  store_row<kHeadSize>(out.v_first + at, dv_first);
  store_row<kHeadSize>(out.v_gate + at, dv_gate);
}

/// Rows of the sums over tokens.
enum Parameter { kForKk, kForKa, kParameters };

/// Of the keys of one token's head at `at`. Adds to `sums`.
template <class Element, int kHeadSize>
__device__ __forceinline__ void keys_backward(const TimeMixOperandsInputs<Element>& in,
                                              const TimeMixOperandsOutputGradients<Element>& gradients_in,
                                              const TimeMixOperandsInputGradients<Element>& out,
                                              const HeadRow<kHeadSize>& k_k, const HeadRow<kHeadSize>& k_a,
                                              float inverse, std::int64_t at,
                                              HeadRow<kHeadSize> (&sums)[kParameters]) {
  using Row = HeadRow<kHeadSize>;
  const Row k = load_row<kHeadSize>(in.k + at), iclr = load_row<kHeadSize>(in.iclr + at);
  const Row dk_out = load_row<kHeadSize>(gradients_in.k + at);
  const Row da = load_row<kHeadSize>(gradients_in.a + at), db = load_row<kHeadSize>(gradients_in.b + at);
  Row kk, dkk, dk, diclr;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const Sigmoid lr(iclr.at[i]);
    const float below_one = lr.value - 1.0F;
    kk.at[i] = k.at[i] * k_k.at[i] * inverse;
    dkk.at[i] = lr.value * db.at[i] - da.at[i];
    dk.at[i] = dk_out.at[i] * (1.0F + below_one * k_a.at[i]);
    diclr.at[i] = (db.at[i] * kk.at[i] + dk_out.at[i] * k.at[i] * k_a.at[i]) * lr.slope();
    sums[kForKa].at[i] += dk_out.at[i] * k.at[i] * below_one;
  }
  const float along = head_sum<kHeadSize>([&](int i) { return kk.at[i] * dkk.at[i]; });
  const float through_norm = inverse < 1.0F / kLeastNorm ? along : 0.0F;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const float dx = (dkk.at[i] - kk.at[i] * through_norm) * inverse;
    dk.at[i] += dx * k_k.at[i];
    sums[kForKk].at[i] += dx * k.at[i];
  }
  store_row<kHeadSize>(out.k + at, dk);
  store_row<kHeadSize>(out.iclr + at, diclr);
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
  const HeadRow<kHeadSize> k_k = load_row<kHeadSize>(in.k_k + channel);
  const HeadRow<kHeadSize> k_a = load_row<kHeadSize>(in.k_a + channel);
  HeadRow<kHeadSize> sums[kParameters] = {};
  for (std::int64_t t = begin + warp; t < end && t < in.tokens; t += kWarps) {
    const std::int64_t row = t * in.heads + head, at = row * kHeadSize;
    keys_backward<Element, kHeadSize>(in, gradients_in, out, k_k, k_a, gradients_in.inverse_norm[row], at,
                                      sums);
    if (out.v != nullptr) values_backward<Element, kHeadSize>(in, gradients_in, out, at);
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
