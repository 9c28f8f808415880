// SPDX-License-Identifier: Apache-2.0
// The chunked WKV-7 of the GPU: 16 tokens at a time, as bf16 matrix products with fp32 sums. Plain pointers:
// neither LibTorch nor CUDA is seen here. The recurrence is at wkv7() in wkv7.h, its chunked form at the top
// of chunked/stage.h.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/wkv7/decay_input.h"

namespace vrwkv::kernels {

/// The only head size.
inline constexpr std::int64_t kWkv7ChunkedHeadSize = 64;

/// Sizes and inputs of one call. All pointers are of the GPU and 16-byte aligned, tensors contiguous.
///
/// Decays: with DecayInput::kRaw any w. With kPreClamped a decay below e^-4, which the model does not make,
/// is taken as e^-4, and its w has no gradient. A NaN in an input gives NaN in its head of its sequence, from
/// the first token of its 16 on in y, in all gradients.
struct Wkv7ChunkedInputs {
  std::int64_t batch, tokens, heads, sequences;
  const std::int64_t* token_bounds;   // (sequences + 1): sequence s is tokens [bounds[s], bounds[s + 1])
  const Bf16 *r, *w, *k, *v, *a, *b;  // (batch, tokens, heads, 64)
  const float* initial_state;         // (batch, sequences, heads, 64, 64) [value][key], or null for zeros
  DecayInput decay_input;             // what w is
};

/// What the backward needs of the forward: the state before every `interval` tokens of a sequence, in bf16
/// and in an order that only these kernels know.
struct Wkv7ChunkedKept {
  void* states;           // wkv7_chunked_kept_bytes(); null: nothing is kept
  std::int64_t interval;  // tokens: 16 times a power of two. 32 moves the fewest bytes; each doubling beyond
                          // halves what is kept and costs the backward a pass over w, k, v, a, b
};

struct Wkv7ChunkedOutputs {
  Bf16* y;             // (batch, tokens, heads, 64)
  float* final_state;  // (batch, sequences, heads, 64, 64), or null when not wanted
};

struct Wkv7ChunkedOutputGradients {
  const Bf16* y;
  const float* final_state;  // null for zeros
};

struct Wkv7ChunkedInputGradients {
  Bf16 *r, *w, *k, *v, *a, *b;
  float* initial_state;  // null when not wanted
};

/// Of the kept states of one head of one batch row, sequence s has numbers wkv7_chunked_kept_before(begin of
/// s, s, interval) and on: at least as many as it needs, without a table of where each begins.
VRWKV_HOST_DEVICE std::int64_t wkv7_chunked_kept_before(std::int64_t begin, std::int64_t sequence,
                                                        std::int64_t interval) {
  return (begin + sequence * (interval - 1)) / interval;
}
/// And how many there are in all.
VRWKV_HOST_DEVICE std::int64_t wkv7_chunked_kept_count(const Wkv7ChunkedInputs& inputs,
                                                       std::int64_t interval) {
  return wkv7_chunked_kept_before(inputs.tokens, inputs.sequences, interval);
}

/// Bytes of Wkv7ChunkedKept::states. Of `inputs` the sizes count, not the pointers.
inline std::int64_t wkv7_chunked_kept_bytes(const Wkv7ChunkedInputs& inputs, std::int64_t interval) {
  constexpr std::int64_t kStateBytes = kWkv7ChunkedHeadSize * kWkv7ChunkedHeadSize * sizeof(Bf16);
  return inputs.batch * wkv7_chunked_kept_count(inputs, interval) * inputs.heads * kStateBytes;
}

/// The longest interval that the backward takes as it is; of a longer one it first makes the states between.
inline constexpr std::int64_t kWkv7ChunkedLongestInterval = 32;

/// Bytes that the backward needs to write to while it runs.
inline std::int64_t wkv7_chunked_workspace_bytes(const Wkv7ChunkedInputs& inputs, std::int64_t interval) {
  if (interval <= kWkv7ChunkedLongestInterval) return 0;
  return wkv7_chunked_kept_bytes(inputs, kWkv7ChunkedLongestInterval);
}

/// Queued on `stream` (a cudaStream_t); nothing waits. The same inputs give the same bits.
/// @throws DeviceError when the GPU refuses, or has less shared memory for a block than any sm_80 or later.
namespace cuda {
void wkv7_chunked_forward(const Wkv7ChunkedInputs& inputs, const Wkv7ChunkedOutputs& outputs,
                          const Wkv7ChunkedKept& kept, void* stream);
/// @param workspace  wkv7_chunked_workspace_bytes(), 16-byte aligned; null where that is 0.
void wkv7_chunked_backward(const Wkv7ChunkedInputs& inputs, const Wkv7ChunkedKept& kept,
                           const Wkv7ChunkedOutputGradients& output_gradients,
                           const Wkv7ChunkedInputGradients& input_gradients, void* workspace, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
