// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cpu {
namespace {

struct Place {
  Place(const Wkv7Inputs& in, std::int64_t task)
      : h(task % in.heads), s(task / in.heads % in.sequences), batch(task / in.heads / in.sequences) {}
  std::int64_t h, s, batch;
};

float decay(float w) { return std::exp(-std::exp(w)); }

void step(std::int64_t n, const float* w, const float* k, const float* v, const float* b, const float* sa,
          float* state) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      float& x = state[i * n + j];
      x = x * decay(w[j]) + sa[i] * b[j] + v[i] * k[j];
    }
  }
}

void times(std::int64_t n, const float* state, const float* vector, float* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = 0.0F;
    for (std::int64_t j = 0; j < n; ++j) out[i] += state[i * n + j] * vector[j];
  }
}

}  // namespace

void wkv7_forward(const Wkv7Inputs& in, const Wkv7Outputs& out, const Wkv7Kept& kept) {
  const std::int64_t n = in.head_size;
  at::parallel_for(0, in.batch * in.sequences * in.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sa(n);
    for (std::int64_t task = begin; task < end; ++task) {
      const Place at(in, task);
      float* state = out.final_state + task * n * n;
      if (in.initial_state != nullptr) {
        std::copy_n(in.initial_state + task * n * n, n * n, state);
      } else {
        std::fill_n(state, n * n, 0.0F);
      }
      const std::int64_t first = in.token_bounds[at.s];
      for (std::int64_t t = first; t < in.token_bounds[at.s + 1]; ++t) {
        const std::int64_t o = ((at.batch * in.tokens + t) * in.heads + at.h) * n;
        if (kept.chunk_states != nullptr && (t - first) % kWkv7Chunk == 0) {
          const std::int64_t chunk = in.chunk_bounds[at.s] + (t - first) / kWkv7Chunk;
          std::copy_n(state, n * n,
                      kept.chunk_states + ((at.batch * in.chunks + chunk) * in.heads + at.h) * n * n);
        }
        times(n, state, in.a + o, sa.data());
        if (kept.state_a != nullptr) std::copy_n(sa.data(), n, kept.state_a + o);
        step(n, in.w + o, in.k + o, in.v + o, in.b + o, sa.data(), state);
        times(n, state, in.r + o, out.y + o);
      }
    }
  });
}

void wkv7_backward(const Wkv7Inputs& in, const Wkv7Kept& kept, const Wkv7OutputGradients& dout,
                   const Wkv7InputGradients& din) {
  const std::int64_t n = in.head_size;
  at::parallel_for(0, in.batch * in.sequences * in.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> states((kWkv7Chunk + 1) * n * n);
    std::vector<float> g(n * n);
    std::vector<float> du(n);
    for (std::int64_t task = begin; task < end; ++task) {
      const Place at(in, task);
      if (dout.final_state != nullptr) {
        std::copy_n(dout.final_state + task * n * n, n * n, g.data());
      } else {
        std::fill(g.begin(), g.end(), 0.0F);
      }
      const std::int64_t first = in.token_bounds[at.s];
      const std::int64_t last = in.token_bounds[at.s + 1];
      for (std::int64_t c = (last - first - 1) / kWkv7Chunk; c >= 0; --c) {
        const std::int64_t chunk = in.chunk_bounds[at.s] + c;
        const std::int64_t t0 = first + c * kWkv7Chunk;
        const std::int64_t count = std::min(kWkv7Chunk, last - t0);
        std::copy_n(kept.chunk_states + ((at.batch * in.chunks + chunk) * in.heads + at.h) * n * n, n * n,
                    states.data());
        const auto offset = [&](std::int64_t q) {
          return ((at.batch * in.tokens + t0 + q) * in.heads + at.h) * n;
        };
        for (std::int64_t q = 0; q < count; ++q) {
          const std::int64_t o = offset(q);
          std::copy_n(&states[q * n * n], n * n, &states[(q + 1) * n * n]);
          step(n, in.w + o, in.k + o, in.v + o, in.b + o, kept.state_a + o, &states[(q + 1) * n * n]);
        }
        for (std::int64_t q = count - 1; q >= 0; --q) {
          const std::int64_t o = offset(q);
          const float* before = &states[q * n * n];
          const float* after = &states[(q + 1) * n * n];
          for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = 0; j < n; ++j) g[i * n + j] += dout.y[o + i] * in.r[o + j];
          }
          times(n, g.data(), in.k + o, din.v + o);
          times(n, g.data(), in.b + o, du.data());
          for (std::int64_t j = 0; j < n; ++j) {
            float dr = 0, dw = 0, dk = 0, da = 0, db = 0;
            const float d = decay(in.w[o + j]);
            for (std::int64_t i = 0; i < n; ++i) {
              float& x = g[i * n + j];
              dr += after[i * n + j] * dout.y[o + i];
              dw += x * before[i * n + j];
              dk += x * in.v[o + i];
              da += before[i * n + j] * du[i];
              db += x * kept.state_a[o + i];
              x = x * d + du[i] * in.a[o + j];
            }
            din.r[o + j] = dr;
            din.w[o + j] = d > 0 ? -dw * d * std::exp(in.w[o + j]) : 0.0F;
            din.k[o + j] = dk;
            din.a[o + j] = da;
            din.b[o + j] = db;
          }
        }
      }
      if (din.initial_state != nullptr) std::copy_n(g.data(), n * n, din.initial_state + task * n * n);
    }
  });
}

}  // namespace vrwkv::kernels::cpu
