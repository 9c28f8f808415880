// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "bench/kernels/row_wkv7.h"
#include "kernels/device/device.h"

namespace vrwkv::bench {
namespace {

namespace device = kernels::device;
using kernels::Bf16;
using kernels::to_bf16;
using kernels::to_float;

constexpr int kN = RowWkv7::kHeadSize;
constexpr int kKeptEvery = RowWkv7::kKeptEvery;

/// Where this block's head lies.
struct Head {
  __device__ explicit Head(const RowWkv7& p)
      : row_stride(p.heads * kN),
        first(block() / p.heads * p.tokens * row_stride + block() % p.heads * kN),
        first_state(block() * (p.tokens / kKeptEvery) * kN * kN) {}
  __device__ static std::int64_t block() { return device::block_index(); }
  __device__ std::int64_t at(std::int64_t t) const { return first + t * row_stride + device::thread_index(); }
  __device__ std::int64_t state_after(std::int64_t t) const { return first_state + t / kKeptEvery * kN * kN; }

  const std::int64_t row_stride, first, first_state;
};

/// The decay is exp of this, its derivative by w this times the decay.
__device__ float negative_rate(Bf16 w) { return -device::exp_fast(to_float(w)); }

struct ForwardShared {
  float r[kN], decay[kN], k[kN], a[kN], b[kN];
};

__global__ void __launch_bounds__(kN) forward_kernel(const RowWkv7 p, Bf16* y) {
  const Head head(p);
  const int i = device::thread_index();
  auto& shared = *static_cast<ForwardShared*>(device::shared_memory());
  float state[kN] = {};  // row i
  for (std::int64_t t = 0; t < p.tokens; ++t) {
    const std::int64_t at = head.at(t);
    device::block_barrier();
    shared.r[i] = to_float(p.r[at]);
    shared.decay[i] = device::exp_fast(negative_rate(p.w[at]));
    shared.k[i] = to_float(p.k[at]);
    shared.a[i] = to_float(p.a[at]);
    shared.b[i] = to_float(p.b[at]);
    device::block_barrier();
    float state_a = 0.0F, sum = 0.0F;
#pragma unroll
    for (int j = 0; j < kN; ++j) state_a += state[j] * shared.a[j];
    const float v = to_float(p.v[at]);
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      state[j] = state[j] * shared.decay[j] + state_a * shared.b[j] + v * shared.k[j];
      sum += state[j] * shared.r[j];
    }
    p.state_a[at] = state_a;
    y[at] = to_bf16(sum);
    if ((t + 1) % kKeptEvery != 0) continue;
#pragma unroll
    for (int j = 0; j < kN; ++j) p.states[head.state_after(t) + j * kN + i] = state[j];
  }
}

struct BackwardShared {
  float r[kN], decay[kN], k[kN], v[kN], a[kN], b[kN], d_y[kN], state_a[kN], d_state_a[kN];
};

__global__ void __launch_bounds__(kN)
    backward_kernel(const RowWkv7 p, const Bf16* d_y, const RowWkv7Gradients out) {
  const Head head(p);
  const int i = device::thread_index();
  auto& shared = *static_cast<BackwardShared*>(device::shared_memory());
  float state[kN] = {};                          // column i: of key channel i
  float gradient[kN] = {}, transposed[kN] = {};  // row i of the state's gradient, and column i
  for (std::int64_t t = p.tokens - 1; t >= 0; --t) {
    const std::int64_t at = head.at(t);
    if ((t + 1) % kKeptEvery == 0) {
#pragma unroll
      for (int j = 0; j < kN; ++j) state[j] = p.states[head.state_after(t) + i * kN + j];
    }
    const float rate = negative_rate(p.w[at]);
    device::block_barrier();
    const float r = shared.r[i] = to_float(p.r[at]);
    const float decay = shared.decay[i] = device::exp_fast(rate);
    const float k = shared.k[i] = to_float(p.k[at]);
    const float a = shared.a[i] = to_float(p.a[at]);
    const float b = shared.b[i] = to_float(p.b[at]);
    const float d_row = shared.d_y[i] = to_float(d_y[at]);
    shared.v[i] = to_float(p.v[at]);
    shared.state_a[i] = p.state_a[at];
    device::block_barrier();

    float d_r = 0.0F, d_w = 0.0F, d_k = 0.0F, d_v = 0.0F, d_a = 0.0F, d_b = 0.0F, d_state_a = 0.0F;
    const float inverse = 1.0F / decay;
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      d_r += state[j] * shared.d_y[j];
      state[j] = (state[j] - shared.state_a[j] * b - shared.v[j] * k) * inverse;
      gradient[j] += d_row * shared.r[j];
      transposed[j] += r * shared.d_y[j];
    }
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      d_w += transposed[j] * state[j];
      d_k += transposed[j] * shared.v[j];
      d_b += transposed[j] * shared.state_a[j];
      d_v += gradient[j] * shared.k[j];
      d_state_a += gradient[j] * shared.b[j];
    }
    shared.d_state_a[i] = d_state_a;
    device::block_barrier();
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      d_a += state[j] * shared.d_state_a[j];
      gradient[j] = gradient[j] * shared.decay[j] + d_state_a * shared.a[j];
      transposed[j] = transposed[j] * decay + a * shared.d_state_a[j];
    }
    out.r[at] = to_bf16(d_r);
    out.w[at] = to_bf16(d_w * decay * rate);
    out.k[at] = to_bf16(d_k);
    out.v[at] = to_bf16(d_v);
    out.a[at] = to_bf16(d_a);
    out.b[at] = to_bf16(d_b);
  }
}

}  // namespace

void row_wkv7_forward(const RowWkv7& problem, Bf16* y, void* stream) {
  device::launch(forward_kernel, problem.batch * problem.heads, kN, sizeof(ForwardShared), stream, problem,
                 y);
}

void row_wkv7_backward(const RowWkv7& problem, const Bf16* d_y, const RowWkv7Gradients& gradients,
                       void* stream) {
  device::launch(backward_kernel, problem.batch * problem.heads, kN, sizeof(BackwardShared), stream, problem,
                 d_y, gradients);
}

}  // namespace vrwkv::bench
