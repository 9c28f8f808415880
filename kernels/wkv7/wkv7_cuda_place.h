// SPDX-License-Identifier: Apache-2.0
// What the plain recurrence's two kernels have in common: what a thread has, loading, decays.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/quarter_rows.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cuda {

inline constexpr int kChunk = static_cast<int>(kWkv7Chunk);

/// Which part of which head this thread has. It lives as long as the kernel, beside a state: so it is small,
/// and what is seldom needed is computed from the kernel's arguments each time.
template <class Element, int kHeadSize>
class Place : public device::QuarterRow<kHeadSize> {
 public:
  __device__ Place(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept)
      : in_(in),
        kept_(kept),
        head_(device::block_index() % static_cast<int>(in.heads)),
        first_row_(static_cast<int>(batch() * in.tokens)),
        begin(static_cast<int>(in.token_bounds[sequence()])),
        end(static_cast<int>(in.token_bounds[sequence() + 1])) {}

  __device__ int chunk_tokens(int t) const { return end - t < kChunk ? end - t : kChunk; }
  /// Of token t's row in a (batch, tokens, heads, head_size) tensor.
  __device__ std::int64_t token_row(int t) const {
    return ((first_row_ + t) * in_.heads + head_) * kHeadSize;
  }
  /// Of the state in a (batch, sequences, heads, head_size, head_size) tensor.
  __device__ std::int64_t state() const {
    return static_cast<std::int64_t>(device::block_index()) * kHeadSize * kHeadSize;
  }
  __device__ int interval() const { return static_cast<int>(kept_.interval); }
  /// Of the state kept before token t, the first of an interval.
  __device__ std::int64_t kept_state(int t) const {
    const std::int64_t before = batch() * kept_state_count(in_.tokens, in_.sequences, kept_.interval) +
                                kept_states_before(begin, sequence(), kept_.interval);
    return ((before + (t - begin) / interval()) * in_.heads + head_) * kHeadSize * kHeadSize;
  }

 private:
  __device__ int sequence() const {
    return device::block_index() / static_cast<int>(in_.heads) % static_cast<int>(in_.sequences);
  }
  __device__ int batch() const { return device::block_index() / static_cast<int>(in_.heads * in_.sequences); }

  const Wkv7Inputs<Element>& in_;
  const Wkv7Kept& kept_;
  const int head_;
  const int first_row_;

 public:
  const int begin, end;  // of the sequence's tokens
};

/// Calls visit(token of the chunk, channel, where that is in a (batch, tokens, heads, head_size) tensor) for
/// the rows of `tokens` tokens from t. What a visit loads of several tensors is on its way together; more
/// visits at once would cost the registers that a state needs.
template <class Element, int kHeadSize, class Visit>
__device__ __forceinline__ void for_each_element(const Place<Element, kHeadSize>& place, int t, int tokens,
                                                 const Visit& visit) {
#pragma unroll 1
  for (int i = device::thread_index(); i < tokens * kHeadSize; i += Place<Element, kHeadSize>::kThreads) {
    const int q = i / kHeadSize, j = i % kHeadSize;
    visit(q, j, place.token_row(t + q) + j);
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
