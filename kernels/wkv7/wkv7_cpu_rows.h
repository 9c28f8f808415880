// SPDX-License-Identifier: Apache-2.0
// What the forward and the backward task have in common: where things lie, rows of a chunk, decays, panels.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/lanes.h"
#include "kernels/wkv7/wkv7_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

/// From these on tensors are streamed: half of a large second cache.
inline constexpr std::int64_t kStreamedElements = std::int64_t{1} << 18;

/// Where a task's rows and states lie in tensors.
class Place {
 public:
  template <class Element>
  Place(const Wkv7Inputs<Element>& in, const Wkv7Kept& kept, const Wkv7Task& task)
      : begin(in.token_bounds[task.sequence]),
        end(in.token_bounds[task.sequence + 1]),
        streams(in.batch * in.tokens * in.heads * in.head_size >= kStreamedElements),
        state(((task.batch * in.sequences + task.sequence) * in.heads + task.head) * in.head_size *
              in.head_size),
        first_row_((task.batch * in.tokens * in.heads + task.head) * in.head_size),
        row_stride_(in.heads * in.head_size),
        interval_(kept.interval),
        first_kept_((task.batch * kept_state_count(in.tokens, in.sequences, interval_) +
                     kept_states_before(begin, task.sequence, interval_)) *
                        in.heads +
                    task.head),
        heads_(in.heads),
        state_numel_(in.head_size * in.head_size) {}

  std::int64_t chunk_end(std::int64_t t) const { return t + kWkv7Chunk < end ? t + kWkv7Chunk : end; }
  /// Of token t's row in a (batch, tokens, heads, head_size) tensor.
  std::int64_t row(std::int64_t t) const { return first_row_ + t * row_stride_; }
  /// Whether the state before token t is kept, and where in the tensor of kept states.
  bool is_kept(std::int64_t t) const { return (t - begin) % interval_ == 0; }
  std::int64_t kept_state(std::int64_t t) const {
    return (first_kept_ + (t - begin) / interval_ * heads_) * state_numel_;
  }

  const std::int64_t begin, end;
  const bool streams;        // whether a tensor is too large for whoever reads it to find it in a cache
  const std::int64_t state;  // in a (batch, sequences, heads, head_size, head_size) tensor

 private:
  std::int64_t first_row_, row_stride_, interval_, first_kept_, heads_, state_numel_;
};

/// Copies of the rows of some tokens, in fp32: [token][kind][n]. The rows of a token lie together, so that no
/// two are a multiple of 4,096 bytes apart, where a processor takes a load from one to depend on a store to
/// the other, and where they would share a place in the cache.
struct Rows {
  float* of(int kind, std::int64_t token) const { return first + (token * kinds + kind) * n; }

  float* first;
  int kinds;
  std::int64_t n;
};

template <class Element>
[[gnu::always_inline]] inline void load_row(const Element* from, float* to, std::int64_t n) {
  for (std::int64_t j = 0; j < n; j += kLanes) store(to + j, load(from + j));
}

/// Columns of a row.
struct Columns {
  std::int64_t begin, end;
};

/// Copies some columns of one kind of rows to tokens [begin, end) of a tensor.
template <class Element>
[[gnu::always_inline]] inline void store_rows(const Place& place, const Rows& rows, int kind,
                                              std::int64_t begin, std::int64_t end, const Columns& columns,
                                              Element* to) {
  for (std::int64_t t = begin; t < end; ++t) {
    const float* from = rows.of(kind, t - begin);
    Element* row = to + place.row(t);
    if (place.streams) {
      for (std::int64_t j = columns.begin; j < columns.end; j += kLanes) stream(row + j, load(from + j));
    } else {
      for (std::int64_t j = columns.begin; j < columns.end; j += kLanes) store(row + j, load(from + j));
    }
  }
}

/// Calls pass(std::integral_constant<int, vectors>, first column) for panels that cover n columns: as many of
/// kMaxVectors vectors as fit, then narrower ones.
template <int kMaxVectors, class Pass>
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

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
