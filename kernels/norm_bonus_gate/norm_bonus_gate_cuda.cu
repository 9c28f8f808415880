// SPDX-License-Identifier: Apache-2.0
// A warp computes one token's head at a time. The gradients are those of norm_bonus_gate_cpu_range.cpp.
#include <cmath>
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/head_row.h"
#include "kernels/device/head_size.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::head_sum;
using device::HeadRow;
using device::kWarpLanes;
using device::load_row;
using device::store_row;

constexpr int kWarps = 8;

template <class Element, int kHeadSize>
__global__ void __launch_bounds__(kWarps* kWarpLanes)
    norm_bonus_gate_forward_kernel(const NormBonusGateInputs<Element> in, const NormBonusGateMoments moments,
                                   Element* out) {
  using Row = HeadRow<kHeadSize>;
  const int warp = device::thread_index() / kWarpLanes;
  const std::int64_t row = static_cast<std::int64_t>(device::block_index()) * kWarps + warp;
  if (row >= in.tokens * in.heads) return;
  const std::int64_t at = row * kHeadSize, channel = row % in.heads * kHeadSize;
  const float bonus = in.bonus[row];
  const Row y = load_row<kHeadSize>(in.y + at), v = load_row<kHeadSize>(in.v + at);
  const Row g = load_row<kHeadSize>(in.g + at), bias = load_row<kHeadSize>(in.bias + channel);
  const Row weight = load_row<kHeadSize>(in.weight + channel);
  const float mean = head_sum<kHeadSize>([&](int i) { return y.at[i]; }) / kHeadSize;
  const float squares = head_sum<kHeadSize>([&](int i) { return (y.at[i] - mean) * (y.at[i] - mean); });
  const float scale = 1.0F / sqrtf(squares / kHeadSize + in.epsilon);
  if (device::thread_index() % kWarpLanes == 0) {
    moments.mean[row] = mean;
    moments.scale[row] = scale;
  }
  Row gated;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    const float normed = (y.at[i] - mean) * scale;
    gated.at[i] = (normed * weight.at[i] + bias.at[i] + bonus * v.at[i]) * g.at[i];
  }
  store_row<kHeadSize>(out + at, gated);
}

/// Rows of the sums over tokens.
enum Parameter { kForWeight, kForBias, kParameters };

/// Of one token's head, number `row` of all. Adds to `sums`.
template <class Element, int kHeadSize>
__device__ __forceinline__ void head_backward(const NormBonusGateInputs<Element>& in,
                                              const NormBonusGateMoments& moments,
                                              const NormBonusGateGradients<Element>& out,
                                              const HeadRow<kHeadSize>& weight,
                                              const HeadRow<kHeadSize>& bias, std::int64_t row,
                                              HeadRow<kHeadSize> (&sums)[kParameters]) {
  using Row = HeadRow<kHeadSize>;
  const std::int64_t at = row * kHeadSize;
  const float mean = moments.mean[row], scale = moments.scale[row], bonus = in.bonus[row];
  const Row y = load_row<kHeadSize>(in.y + at), v = load_row<kHeadSize>(in.v + at);
  const Row g = load_row<kHeadSize>(in.g + at), d_out = load_row<kHeadSize>(out.out + at);
  Row normed, d_z, e;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    normed.at[i] = (y.at[i] - mean) * scale;
    d_z.at[i] = d_out.at[i] * g.at[i];
    e.at[i] = d_z.at[i] * weight.at[i];
  }
  const float d_bonus = head_sum<kHeadSize>([&](int i) { return d_z.at[i] * v.at[i]; });
  const float e_mean = head_sum<kHeadSize>([&](int i) { return e.at[i]; }) / kHeadSize;
  const float e_normed_mean = head_sum<kHeadSize>([&](int i) { return e.at[i] * normed.at[i]; }) / kHeadSize;
  if (device::thread_index() % kWarpLanes == 0) out.bonus[row] = d_bonus;
  Row dy, dv, dg;
#pragma unroll
  for (int i = 0; i < Row::kChannels; ++i) {
    dy.at[i] = (e.at[i] - e_mean - normed.at[i] * e_normed_mean) * scale;
    dv.at[i] = d_z.at[i] * bonus;
    dg.at[i] = d_out.at[i] * (normed.at[i] * weight.at[i] + bias.at[i] + bonus * v.at[i]);
    sums[kForWeight].at[i] += d_z.at[i] * normed.at[i];
    sums[kForBias].at[i] += d_z.at[i];
  }
  store_row<kHeadSize>(out.y + at, dy);
  store_row<kHeadSize>(out.v + at, dv);
  store_row<kHeadSize>(out.g + at, dg);
}

/// A block has one head in one range of tokens, of which its warps take every kWarps-th.
template <class Element, int kHeadSize>
__global__ void __launch_bounds__(kWarps* kWarpLanes)
    norm_bonus_gate_backward_kernel(const NormBonusGateInputs<Element> in, const NormBonusGateMoments moments,
                                    const NormBonusGateGradients<Element> out) {
  const int warp = device::thread_index() / kWarpLanes;
  const std::int64_t range = device::block_index() / in.heads, head = device::block_index() % in.heads;
  const std::int64_t begin = range * kRangeTokens, end = begin + kRangeTokens;
  const std::int64_t channel = head * kHeadSize;
  const HeadRow<kHeadSize> weight = load_row<kHeadSize>(in.weight + channel);
  const HeadRow<kHeadSize> bias = load_row<kHeadSize>(in.bias + channel);
  HeadRow<kHeadSize> sums[kParameters] = {};
  for (std::int64_t t = begin + warp; t < end && t < in.tokens; t += kWarps)
    head_backward<Element, kHeadSize>(in, moments, out, weight, bias, t * in.heads + head, sums);
  float* const to = out.range_sums + (range * kParameters * in.heads + head) * kHeadSize;
  device::store_block_sums<kWarps>(sums, to, in.heads * kHeadSize);
}

}  // namespace

template <class Element>
void norm_bonus_gate_forward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                             Element* out, void* stream) {
  device::with_head_size("norm_bonus_gate", inputs.head_size, [&](auto head_size) {
    const std::int64_t blocks = (inputs.tokens * inputs.heads + kWarps - 1) / kWarps;
    device::launch(norm_bonus_gate_forward_kernel<Element, decltype(head_size)::value>, blocks,
                   kWarps * kWarpLanes, 0, stream, inputs, moments, out);
  });
}

template <class Element>
void norm_bonus_gate_backward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                              const NormBonusGateGradients<Element>& gradients, void* stream) {
  device::with_head_size("norm_bonus_gate", inputs.head_size, [&](auto head_size) {
    constexpr int kHeadSize = decltype(head_size)::value;
    device::launch(norm_bonus_gate_backward_kernel<Element, kHeadSize>,
                   token_ranges(inputs.tokens) * inputs.heads, kWarps * kWarpLanes,
                   kWarps * kParameters * kHeadSize * sizeof(float), stream, inputs, moments, gradients);
  });
}

#define VRWKV_INSTANTIATE(Element)                                                                         \
  template void norm_bonus_gate_forward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&,  \
                                        Element*, void*);                                                  \
  template void norm_bonus_gate_backward(const NormBonusGateInputs<Element>&, const NormBonusGateMoments&, \
                                         const NormBonusGateGradients<Element>&, void*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cuda
