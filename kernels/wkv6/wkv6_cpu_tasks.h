// SPDX-License-Identifier: Apache-2.0
// What a thread computes at a time. Tasks share nothing, so threads may take them in any order. Each
// instruction set has its own compilation of them.
//
// Where heads are fewer than threads, sequences are divided into pieces. Elements of a state do not depend on
// each other, so some keys of a head can pass all tokens alone: such scans first make the states before each
// piece, or, from the last token on, their gradients. Then each piece is a task like a whole sequence. Both
// take every element through the same steps as a whole sequence does, so nobody sees how tasks were made.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"
#include "kernels/wkv6/wkv6_backend.h"

namespace vrwkv::kernels::cpu {

/// Tokens of a piece, whole chunks of them: the states before pieces are few beside those kept.
inline constexpr std::int64_t kWkv6Piece = 64;
/// Keys of a scan.
inline constexpr std::int64_t kWkv6ScanKeys = 16;

/// Neighbouring heads of one sequence, or of a piece of it: their rows lie side by side, so that a page of
/// memory is visited once for all of them. No result depends on how heads are put together.
struct Wkv6Task {
  std::int64_t batch, sequence, first_head, heads;
  std::int64_t begin, end;    // tokens
  const float* piece_states;  // of a piece: those before each, or their gradients, by other tasks' scans
};

/// The steps S diag(d_t) + v_t k_tᵀ of a state, or G diag(d_t) + dy_t r_tᵀ of its gradient, backwards.
template <class Element>
struct Wkv6Scan {
  bool is_backward;
  const Element *keys, *values;  // k and v, or r and dy
  const float* start;            // initial states, or final states' gradients; null for zeros
  float* piece_states;           // wkv6_piece_state_floats(): those before each piece but a sequence's first
};

/// Without memory for piece_states.
template <class Element>
Wkv6Scan<Element> wkv6_state_scan(const Wkv6Inputs<Element>& in) {
  return {
      .is_backward = false, .keys = in.k, .values = in.v, .start = in.initial_state, .piece_states = nullptr};
}
template <class Element>
Wkv6Scan<Element> wkv6_gradient_scan(const Wkv6Inputs<Element>& in,
                                     const Wkv6OutputGradients<Element>& gradients) {
  return {.is_backward = true,
          .keys = in.r,
          .values = gradients.y,
          .start = gradients.final_state,
          .piece_states = nullptr};
}

/// Floats of memory that all tasks of a call share: of the states before pieces, and of u's gradient's parts.
template <class Element>
std::int64_t wkv6_piece_state_floats(const Wkv6Inputs<Element>& in) {
  return in.batch * kept_state_count(in.tokens, in.sequences, kWkv6Piece) * in.heads * in.head_size *
         in.head_size;
}
template <class Element>
std::int64_t wkv6_u_part_floats(const Wkv6Inputs<Element>& in) {
  return in.batch * kept_state_count(in.tokens, in.sequences, kWkv6Chunk) * in.heads * in.head_size;
}

/// Floats of scratch memory, 64-byte aligned, that a task needs; it need not be initialised.
inline constexpr std::int64_t wkv6_forward_scratch_floats(std::int64_t head_size, std::int64_t heads) {
  constexpr std::int64_t kRows = 5;
  return heads * (head_size + kRows * kWkv6Chunk) * head_size;
}
inline constexpr std::int64_t wkv6_backward_scratch_floats(std::int64_t head_size, std::int64_t heads) {
  constexpr std::int64_t kRows = 10, kBlock = 16 * 16;
  return heads * (head_size + kRows * kWkv6Chunk) * head_size + 2 * kWkv6Chunk * kBlock;
}

inline constexpr std::int64_t wkv6_scan_scratch_floats(std::int64_t head_size) {
  return kWkv6ScanKeys * head_size + kWkv6Chunk * (2 * kWkv6ScanKeys + head_size);
}

// clang-format off
VRWKV_FOR_EACH_INSTRUCTION_SET(
  template <class Element>
  void wkv6_forward_task(const Wkv6Inputs<Element>& in, const Wkv6Outputs<Element>& out,
                         const Wkv6Task& task, float* scratch);
  /// @param u_parts  wkv6_u_part_floats(): of u's gradient by chunks. Those of gradients_out are left to
  ///                 wkv6_add_u_parts().
  template <class Element>
  void wkv6_backward_task(const Wkv6Inputs<Element>& in, const Wkv6OutputGradients<Element>& gradients_in,
                          const Wkv6InputGradients<Element>& gradients_out, float* u_parts,
                          const Wkv6Task& task, float* scratch);
  /// @param task  one head of a whole sequence, of which kWkv6ScanKeys keys are passed.
  template <class Element>
  void wkv6_scan_task(const Wkv6Inputs<Element>& in, const Wkv6Scan<Element>& scan, const Wkv6Task& task,
                      std::int64_t first_key, float* scratch);
)
// clang-format on

/// Adds up each sequence's part of u's gradient, in the order of its chunks.
template <class Element>
void wkv6_add_u_parts(const Wkv6Inputs<Element>& in, const float* of_chunks, float* of_sequences);

}  // namespace vrwkv::kernels::cpu
