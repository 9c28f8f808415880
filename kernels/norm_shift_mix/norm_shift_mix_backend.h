// SPDX-License-Identifier: Apache-2.0
// What norm_shift_mix.cpp asks of a device. Plain pointers: neither LibTorch nor CUDA is seen here. All of
// them are of the device that computes; tensors are contiguous; Element is float or Bf16.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// Of a time mix; a channel mix has one.
inline constexpr int kMaxMixes = 6;

/// The equation is at norm_shift_mix() in norm_shift_mix.h. The tokens are cut into tiles of `tile_tokens`,
/// the last of which may be shorter, for threads or blocks to take one by one.
template <class Element>
struct NormShiftMixInputs {
  std::int64_t tokens, channels, sequences, tile_tokens;
  int mix_count;  // 1 or kMaxMixes
  float epsilon;
  const Element* x;                     // (tokens, channels)
  const float *weight, *bias;           // (channels)
  const float* mixes[kMaxMixes];        // (channels) each, mix_count of them
  const std::int64_t* sequence_starts;  // (sequences)
  const Element* previous;              // (sequences, channels), or null for zeros

  std::int64_t tiles() const { return (tokens + tile_tokens - 1) / tile_tokens; }
};

/// What the backward needs of the forward.
struct NormShiftMixKept {
  float *mean, *scale;  // (tokens): LayerNorm is ((x - mean) scale) weight + bias
};

template <class Element>
struct NormShiftMixOutputs {
  Element* mixed;  // (mix_count, tokens, channels)
  Element* last;   // (sequences, channels)
};

template <class Element>
struct NormShiftMixGradients {
  const Element* mixed;  // (mix_count, tokens, channels)
  Element* x;            // (tokens, channels)
  float* tile_sums;  // (tiles, mix_count + 2, channels): each tile's share of the gradients of the mixes, of
                     // the weight, and of the bias
};

/// One tile: tokens [begin, end), in which the sequences [first_sequence, end_sequence) begin.
struct TokenTile {
  std::int64_t begin, end, first_sequence, end_sequence;
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
VRWKV_HOST_DEVICE TokenTile token_tile(const NormShiftMixInputs<Element>& in, std::int64_t tile) {
  const std::int64_t begin = tile * in.tile_tokens, rest = in.tokens - begin;
  const std::int64_t end = begin + (rest < in.tile_tokens ? rest : in.tile_tokens);
  return {begin, end, sequences_before(begin, in.sequence_starts, in.sequences),
          sequences_before(end, in.sequence_starts, in.sequences)};
}

/// Channels: a multiple of 16.
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
