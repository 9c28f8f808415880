// SPDX-License-Identifier: Apache-2.0
// What the fallback kernels' forward and backward have in common: which thread has what, decays, loading.
//
// Four threads share a row of the state: thread 4 i + q holds, of row i, the columns 16 m + 4 q .. + 4 for
// all m. The four then read neighbouring Float4s of a shared row, and a sum over a row ends with two
// shuffles.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cuda {

using device::Float4;

inline constexpr int kSharers = 4;  // threads of a row
inline constexpr int kChunk = static_cast<int>(kWkv7Chunk);

/// Adds over the threads of a row; all of them get the sum.
__device__ __forceinline__ float row_sum(float x) {
  x += device::shuffle_xor(x, 1);
  return x + device::shuffle_xor(x, 2);
}

/// Which part of which head this thread has.
template <int kHeadSize>
struct Place {
  static constexpr int kThreads = kSharers * kHeadSize;
  static constexpr int kColumns = kHeadSize / kSharers;  // of a thread

  __device__ explicit Place(const Wkv7Inputs& in)
      : row(device::thread_index() / kSharers),
        sharer(device::thread_index() % kSharers),
        task(device::block_index()),
        batch(task / (in.heads * in.sequences)),
        head(task % in.heads),
        begin(in.token_bounds[task / in.heads % in.sequences]),
        end(in.token_bounds[task / in.heads % in.sequences + 1]),
        first_chunk(in.chunk_bounds[task / in.heads % in.sequences]) {}

  /// Of the Float4 number m of this thread's columns.
  __device__ int column(int m) const { return kSharers * 4 * m + 4 * sharer; }
  /// That Float4 of a row in shared memory.
  __device__ Float4 read(const float (&values)[kHeadSize], int m) const {
    return *reinterpret_cast<const Float4*>(&values[column(m)]);
  }
  __device__ int chunks() const { return static_cast<int>((end - begin + kChunk - 1) / kChunk); }
  __device__ std::int64_t chunk_begin(int chunk) const { return begin + chunk * kChunk; }
  __device__ int chunk_tokens(int chunk) const {
    const std::int64_t left = end - chunk_begin(chunk);
    return left < kChunk ? static_cast<int>(left) : kChunk;
  }
  /// Of token t's row in a (batch, tokens, heads, head_size) tensor.
  __device__ std::int64_t token_row(const Wkv7Inputs& in, std::int64_t t) const {
    return ((batch * in.tokens + t) * in.heads + head) * kHeadSize;
  }
  __device__ std::int64_t sequence_state() const { return task * kHeadSize * kHeadSize; }
  __device__ std::int64_t chunk_state(const Wkv7Inputs& in, int chunk) const {
    return ((batch * in.chunks + first_chunk + chunk) * in.heads + head) * kHeadSize * kHeadSize;
  }

  int row, sharer;
  std::int64_t task, batch, head, begin, end, first_chunk;
};

/// Loads `tokens` rows of `from`, beginning with token `first`, into shared memory.
template <int kHeadSize>
__device__ __forceinline__ void load_rows(const Place<kHeadSize>& place, const Wkv7Inputs& in,
                                          const float* from, std::int64_t first, int tokens,
                                          float (*to)[kHeadSize]) {
  for (int i = device::thread_index(); i < tokens * kHeadSize; i += Place<kHeadSize>::kThreads) {
    to[i / kHeadSize][i % kHeadSize] = from[place.token_row(in, first + i / kHeadSize) + i % kHeadSize];
  }
}

/// e^x, finite.
__device__ __forceinline__ float finite_exp(float x) { return expf(x > 88.0F ? 88.0F : x); }

/// d = exp(-rate), and d's derivative by w. NaN stays NaN.
struct Decay {
  float d, slope;
};

__device__ __forceinline__ Decay decay_of(DecayInput input, float w) {
  if (input == DecayInput::kPreClamped) {
    const float rate = finite_exp(w);
    const float d = expf(-rate);
    return {d, -(d * rate)};
  }
  const float e = finite_exp(-w);
  const float sigmoid = 1.0F / (1.0F + e);
  const float rate = kRawDecayScale * sigmoid;
  const float d = expf(-rate);
  return {d, -(d * rate * (e * sigmoid))};  // e sigmoid = 1 - sigmoid, without cancellation
}

}  // namespace vrwkv::kernels::cuda
