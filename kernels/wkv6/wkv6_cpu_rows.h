// SPDX-License-Identifier: Apache-2.0
// What the forward and the backward task have in common: where things lie, and a chunk's rows in fp32.
#pragma once

#include <cstdint>

#include "kernels/cpu/lanes.h"
#include "kernels/wkv6/wkv6_cpu_tasks.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {

/// Where a task's rows and states lie. `head` counts from the task's first.
class Wkv6Place {
 public:
  template <class Element>
  Wkv6Place(const Wkv6Inputs<Element>& in, const Wkv6Task& task)
      : n(in.head_size),
        heads(task.heads),
        begin(task.begin),
        end(task.end),
        sequence_begin(in.token_bounds[task.sequence]),
        sequence_end(in.token_bounds[task.sequence + 1]),
        all_heads_(in.heads),
        first_head_(task.first_head),
        first_row_(task.batch * in.tokens),
        first_state_(task.batch * in.sequences + task.sequence),
        first_chunk_(first_state_before(in, task, kWkv6Chunk)),
        first_piece_(first_state_before(in, task, kWkv6Piece)) {}

  std::int64_t chunk_tokens(std::int64_t t) const { return end - t < kWkv6Chunk ? end - t : kWkv6Chunk; }
  /// Of a head's row in a (heads, head_size) tensor.
  std::int64_t parameters(std::int64_t head) const { return (first_head_ + head) * n; }
  /// Of token t's row in a (batch, tokens, heads, head_size) tensor: those of the task's heads are
  /// neighbours.
  std::int64_t row(std::int64_t t) const { return ((first_row_ + t) * all_heads_ + first_head_) * n; }
  /// Of the row in a (batch, sequences, heads, head_size) tensor.
  std::int64_t sequence_row(std::int64_t head) const {
    return (first_state_ * all_heads_ + first_head_ + head) * n;
  }
  /// Of the state in a (batch, sequences, heads, head_size, head_size) tensor.
  std::int64_t state(std::int64_t head) const { return sequence_row(head) * n; }
  /// Of the part of u's gradient of the chunk that begins with token t.
  std::int64_t u_part(std::int64_t t, std::int64_t head) const {
    return ((first_chunk_ + (t - sequence_begin) / kWkv6Chunk) * all_heads_ + first_head_ + head) * n;
  }
  /// Of the state kept before token t, the first of a chunk.
  std::int64_t kept_state(std::int64_t t, std::int64_t head) const { return u_part(t, head) * n; }
  /// Of the state, or its gradient, before token t, the first of a piece.
  std::int64_t piece_state(std::int64_t t, std::int64_t head) const {
    return ((first_piece_ + (t - sequence_begin) / kWkv6Piece) * all_heads_ + first_head_ + head) * n * n;
  }

  const std::int64_t n, heads;
  const std::int64_t begin, end;                    // of the task's tokens
  const std::int64_t sequence_begin, sequence_end;  // and of the sequence's

 private:
  template <class Element>
  std::int64_t first_state_before(const Wkv6Inputs<Element>& in, const Wkv6Task& task,
                                  std::int64_t interval) const {
    return task.batch * kept_state_count(in.tokens, in.sequences, interval) +
           kept_states_before(sequence_begin, task.sequence, interval);
  }

  std::int64_t all_heads_, first_head_, first_row_, first_state_, first_chunk_, first_piece_;
};

/// Rows of a chunk's tokens in fp32, [head][token][kind][n]: those of one kind do not lie a multiple of 4,096
/// bytes apart, where the processor would take a load from one to depend on a store to the other.
template <int kKinds>
struct Wkv6Rows {
  float* of(std::int64_t token, int kind) const { return first + (token * kKinds + kind) * n; }
  Wkv6Rows of_head(std::int64_t head) const {
    return {.first = first + head * kWkv6Chunk * kKinds * n, .n = n};
  }

  float* first;
  std::int64_t n;
};

/// Calls visit(head, token of the chunk, column, the vector there) for the rows of `tokens` tokens from t.
template <class Element, class Visit>
[[gnu::always_inline]] inline void for_each_vector(const Wkv6Place& place, const Element* from,
                                                   std::int64_t t, std::int64_t tokens, const Visit& visit) {
  for (std::int64_t q = 0; q < tokens; ++q) {
    const Element* row = from + place.row(t + q);
    for (std::int64_t head = 0; head < place.heads; ++head)
      for (std::int64_t j = 0; j < place.n; j += kLanes) visit(head, q, j, load(row + head * place.n + j));
  }
}

template <int kKinds, class Element>
[[gnu::always_inline]] inline void load_rows(const Wkv6Place& place, const Element* from, std::int64_t t,
                                             std::int64_t tokens, const Wkv6Rows<kKinds>& rows, int kind) {
  for_each_vector(place, from, t, tokens, [&](std::int64_t head, std::int64_t q, std::int64_t j, Float x) {
    store(rows.of_head(head).of(q, kind) + j, x);
  });
}

template <int kKinds, class Element>
[[gnu::always_inline]] inline void store_rows(const Wkv6Place& place, const Wkv6Rows<kKinds>& rows, int kind,
                                              std::int64_t t, std::int64_t tokens, Element* to) {
  for (std::int64_t q = 0; q < tokens; ++q)
    for (std::int64_t head = 0; head < place.heads; ++head)
      for (std::int64_t j = 0; j < place.n; j += kLanes)
        store(to + place.row(t + q) + head * place.n + j, load(rows.of_head(head).of(q, kind) + j));
}

/// Rows of a block of a state, each kLanes wide: what stays in registers while a chunk's tokens pass.
inline constexpr int kBlockRows = kLanes == 16 ? 16 : 8;

struct Wkv6Block {
  Float of[kBlockRows];
};

[[gnu::always_inline]] inline Wkv6Block load_block(const float* from, std::int64_t stride) {
  Wkv6Block block;
#pragma GCC unroll 16
  for (int i = 0; i < kBlockRows; ++i) block.of[i] = load(from + i * stride);
  return block;
}

[[gnu::always_inline]] inline void store_block(float* to, std::int64_t stride, const Wkv6Block& block) {
#pragma GCC unroll 16
  for (int i = 0; i < kBlockRows; ++i) store(to + i * stride, block.of[i]);
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
