// SPDX-License-Identifier: Apache-2.0
// What the forward and the backward task have in common: where things lie, decays, panels of vectors.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/lanes.h"
#include "kernels/wkv7/wkv7_backend.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

/// One head of one sequence.
struct Sequence {
  Sequence(const Wkv7Inputs& inputs, std::int64_t task)
      : in(inputs),
        head(task % inputs.heads),
        batch(task / (inputs.heads * inputs.sequences)),
        begin(inputs.token_bounds[task / inputs.heads % inputs.sequences]),
        end(inputs.token_bounds[task / inputs.heads % inputs.sequences + 1]),
        first_chunk(inputs.chunk_bounds[task / inputs.heads % inputs.sequences]) {}

  std::int64_t chunks() const { return (end - begin + kWkv7Chunk - 1) / kWkv7Chunk; }
  std::int64_t chunk_begin(std::int64_t chunk) const { return begin + chunk * kWkv7Chunk; }
  std::int64_t chunk_tokens(std::int64_t chunk) const {
    const std::int64_t left = end - chunk_begin(chunk);
    return left < kWkv7Chunk ? left : kWkv7Chunk;
  }
  /// Of token t's row in a (batch, tokens, heads, head_size) tensor.
  std::int64_t row(std::int64_t t) const {
    return ((batch * in.tokens + t) * in.heads + head) * in.head_size;
  }
  std::int64_t chunk_state(std::int64_t chunk) const {
    return ((batch * in.chunks + first_chunk + chunk) * in.heads + head) * in.head_size * in.head_size;
  }

  const Wkv7Inputs& in;
  std::int64_t head, batch, begin, end, first_chunk;
};

/// Columns are swept in panels of this many vectors: enough sums to hide the latency of an addition, and few
/// enough to stay in registers. Measured with 16 and with 8 lanes.
inline constexpr int kPanelVectors = 4;

/// Calls pass(std::integral_constant<int, vectors>, first column) for panels that cover n columns: as many of
/// kMaxVectors vectors as fit, then narrower ones.
template <int kMaxVectors = kPanelVectors, class Pass>
[[gnu::always_inline]] inline void for_each_panel(std::int64_t n, const Pass& pass, std::int64_t column = 0) {
  for (; column + kMaxVectors * kLanes <= n; column += kMaxVectors * kLanes) {
    pass(std::integral_constant<int, kMaxVectors>{}, column);
  }
  if constexpr (kMaxVectors > 1) {
    if (column < n) for_each_panel<kMaxVectors / 2>(n, pass, column);
  }
}

/// d = exp(-rate), and d's derivative by w.
struct Decay {
  Float d, slope;
};

[[gnu::always_inline]] inline Decay decay_of(DecayInput input, Float w) {
  if (input == DecayInput::kPreClamped) {
    const Float rate = exp(w);
    const Float d = exp(-rate);
    return {.d = d, .slope = -(d * rate)};
  }
  const Float e = exp(-w);
  const Float sigmoid = 1.0F / (1.0F + e);
  const Float rate = kRawDecayScale * sigmoid;
  const Float d = exp(-rate);
  return {.d = d, .slope = -(d * rate * (e * sigmoid))};  // e sigmoid = 1 - sigmoid, without cancellation
}

/// Of one row.
[[gnu::always_inline]] inline void decays(DecayInput input, const float* w, std::int64_t n, float* decay) {
  for (std::int64_t j = 0; j < n; j += kLanes) store(decay + j, decay_of(input, load(w + j)).d);
}
[[gnu::always_inline]] inline void decays_and_slopes(DecayInput input, const float* w, std::int64_t n,
                                                     float* decay, float* slope) {
  for (std::int64_t j = 0; j < n; j += kLanes) {
    const Decay made = decay_of(input, load(w + j));
    store(decay + j, made.d);
    store(slope + j, made.slope);
  }
}

inline constexpr std::int64_t kCacheLineFloats = 16;

/// Rows of a head lie heads * head_size floats apart, which no hardware prefetcher follows.
[[gnu::always_inline]] inline void prefetch_row(const float* row, std::int64_t n) {
  for (std::int64_t j = 0; j < n; j += kCacheLineFloats)
    __builtin_prefetch(row + j, /*write=*/0, /*locality=*/2);
}
[[gnu::always_inline]] inline void prefetch_row_for_writing(const float* row, std::int64_t n) {
  for (std::int64_t j = 0; j < n; j += kCacheLineFloats)
    __builtin_prefetch(row + j, /*write=*/1, /*locality=*/2);
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
