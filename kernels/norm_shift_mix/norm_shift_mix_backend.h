// SPDX-License-Identifier: Apache-2.0
// What norm_shift_mix.cpp asks of a device. Plain pointers: neither LibTorch nor CUDA is seen here. All of
// them are of the device that computes; tensors are contiguous; Element is float or Bf16.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// Of a time mix; a channel mix has one.
inline constexpr int kMaxMixes = 6;

/// The equation is at norm_shift_mix() in norm_shift_mix.h. The tokens are cut into ranges of `range_tokens`,
/// the last of which may be shorter, for threads or blocks to take one by one.
template <class Element>
struct NormShiftMixInputs {
  std::int64_t tokens, channels, sequences, range_tokens;
  int mix_count;  // 1 or kMaxMixes
  float epsilon;
  const Element* x;                     // (tokens, channels)
  const float *weight, *bias;           // (channels)
  const float* mixes[kMaxMixes];        // (channels) each, mix_count of them
  const std::int64_t* sequence_starts;  // (sequences)
  const Element* previous;              // (sequences, channels), or null for zeros

  std::int64_t ranges() const { return (tokens + range_tokens - 1) / range_tokens; }
};

/// What the backward needs of the forward.
struct NormShiftMixKept {
  float *mean, *scale;  // (tokens): LayerNorm is ((x - mean) scale) weight + bias
};

template <class Element>
struct NormShiftMixOutputs {
  Element* mixed;  // (mix_count, tokens, channels)
  Element* last;   // (sequences, channels)
  Element* x;      // (tokens, channels): a copy
};

template <class Element>
struct NormShiftMixGradients {
  const Element* mixed;   // (mix_count, tokens, channels)
  const Element* more_x;  // (tokens, channels), added to the gradient of x, or null
  Element* x;             // (tokens, channels)
  float* range_sums;  // (ranges, mix_count + 2, channels): each range's share of the gradients of the mixes,
                      // of the weight, and of the bias
};

/// One range: tokens [begin, end), in which the sequences [first_sequence, end_sequence) begin.
struct PackedRange {
  std::int64_t index, begin, end, first_sequence, end_sequence;
};

/// How many of the ascending `sequence_starts` lie before `token`.
VRWKV_HOST_DEVICE std::int64_t sequences_before(std::int64_t token, const std::int64_t* sequence_starts,
                                                std::int64_t sequences) {
  std::int64_t low = 0, high = sequences;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (sequence_starts[middle] < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class Element>
VRWKV_HOST_DEVICE PackedRange packed_range(const NormShiftMixInputs<Element>& in, std::int64_t index) {
  const std::int64_t begin = index * in.range_tokens, rest = in.tokens - begin;
  const std::int64_t end = begin + (rest < in.range_tokens ? rest : in.range_tokens);
  return {index, begin, end, sequences_before(begin, in.sequence_starts, in.sequences),
          sequences_before(end, in.sequence_starts, in.sequences)};
}

/// Channels: a multiple of 16. Ranges are those of token_ranges.h.
namespace cpu {
template <class Element>
void norm_shift_mix_forward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                            const NormShiftMixOutputs<Element>& outputs);
template <class Element>
void norm_shift_mix_backward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                             const NormShiftMixGradients<Element>& gradients);
}  // namespace cpu

/// Tokens: below 2^31. Channels: a multiple of 8 up to kMaxChannels; rows on 16-byte boundaries. Queued on
/// `stream` (a cudaStream_t); nothing waits.
namespace cuda {
inline constexpr std::int64_t kMaxChannels = 4096;
template <class Element>
void norm_shift_mix_forward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                            const NormShiftMixOutputs<Element>& outputs, void* stream);
template <class Element>
void norm_shift_mix_backward(const NormShiftMixInputs<Element>& inputs, const NormShiftMixKept& kept,
                             const NormShiftMixGradients<Element>& gradients, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
