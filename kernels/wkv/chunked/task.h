// SPDX-License-Identifier: Apache-2.0
// Which tokens a block walks over, and where its states are.
#pragma once

#include "kernels/wkv/chunked/tiles.h"
#include "kernels/wkv/kept_states.h"

namespace vrwkv::kernels::cuda::chunked {

/// Tokens of one head that a block takes one chunk after the other: a sequence, or a segment of one.
struct Task {
  std::int64_t first_element;  // of the first token's row in the tensors of activations
  int row_elements;            // from a token's row to the next
  int tokens;
  std::int64_t first_kept;  // number of the first kept state
  int kept_step;            // from one to the next

  __device__ int chunks() const { return (tokens + kChunk - 1) / kChunk; }
  __device__ int chunk_tokens(int chunk) const {
    const int left = tokens - chunk * kChunk;
    return left < kChunk ? left : kChunk;
  }
  __device__ std::int64_t kept(int number) const {
    return first_kept + static_cast<std::int64_t>(number) * kept_step;
  }
  __device__ std::int64_t row(int chunk, int token) const {
    return first_element + static_cast<std::int64_t>(chunk * kChunk + token) * row_elements;
  }
};

/// A task that begins at `offset` (a multiple of `interval`) in the sequence and is at most `longest` tokens.
template <class Inputs>
__device__ __forceinline__ Task task_at(const Inputs& in, std::int64_t batch, std::int64_t sequence,
                                        std::int64_t head, std::int64_t offset, std::int64_t longest,
                                        std::int64_t interval) {
  const std::int64_t begin = in.token_bounds[sequence];
  const std::int64_t left = in.token_bounds[sequence + 1] - begin - offset;
  const std::int64_t kept = kept_states_before(begin, sequence, interval) + offset / interval;
  return {
      .first_element = ((batch * in.tokens + begin + offset) * in.heads + head) * kHead,
      .row_elements = static_cast<int>(in.heads) * kHead,
      .tokens = static_cast<int>(left < 0         ? 0
                                 : left < longest ? left
                                                  : longest),
      .first_kept = (batch * kept_state_count(in.tokens, in.sequences, interval) + kept) * in.heads + head,
      .kept_step = static_cast<int>(in.heads)};
}

/// Of block (batch, sequence, head), the head fastest: the whole sequence. Its first and its last state have
/// the block's number too.
template <class Inputs>
__device__ __forceinline__ Task sequence_task(const Inputs& in, std::int64_t interval) {
  const std::int64_t block = device::block_index();
  return task_at(in, block / (in.heads * in.sequences), block / in.heads % in.sequences, block % in.heads,
                 /*offset=*/0, /*longest=*/in.tokens, interval);
}

/// Of block (batch, number of a state kept at `coarse`, head): the tokens up to the next of these states,
/// with states kept at `interval`. Has no tokens where the number is none's.
template <class Inputs>
__device__ __forceinline__ Task segment_task(const Inputs& in, std::int64_t coarse, std::int64_t interval) {
  const std::int64_t block = device::block_index();
  const std::int64_t count = kept_state_count(in.tokens, in.sequences, coarse);
  const std::int64_t number = block / in.heads % count;
  std::int64_t sequence = 0;
  for (std::int64_t end = in.sequences; end - sequence > 1;) {
    const std::int64_t middle = (sequence + end) / 2;
    if (kept_states_before(in.token_bounds[middle], middle, coarse) <= number) {
      sequence = middle;
    } else {
      end = middle;
    }
  }
  const std::int64_t offset =
      (number - kept_states_before(in.token_bounds[sequence], sequence, coarse)) * coarse;
  return task_at(in, block / (in.heads * count), sequence, block % in.heads, offset, coarse, interval);
}

}  // namespace vrwkv::kernels::cuda::chunked
