// SPDX-License-Identifier: Apache-2.0
// What wkv7.cpp asks of a device. Plain pointers: neither LibTorch nor CUDA is seen here.
#pragma once

#include <cstdint>

#include "kernels/wkv7/decay_input.h"

namespace vrwkv::kernels {

/// Tokens between two kept states.
inline constexpr std::int64_t kWkv7Chunk = 16;

/// Sizes and inputs of one call; the equation is at wkv7() in wkv7.h. All pointers, the two bounds included,
/// are of the device that computes. Tensors are contiguous fp32; states are [value][key].
///
/// Each sequence is cut into chunks of kWkv7Chunk tokens of its own (the last may be shorter); chunks are
/// numbered over all sequences.
struct Wkv7Inputs {
  std::int64_t batch, tokens, heads, head_size, sequences, chunks;
  const std::int64_t* token_bounds;    // (sequences + 1): sequence s is tokens [bounds[s], bounds[s + 1])
  const std::int64_t* chunk_bounds;    // (sequences + 1): and chunks [bounds[s], bounds[s + 1])
  const float *r, *w, *k, *v, *a, *b;  // (batch, tokens, heads, head_size)
  const float* initial_state;          // (batch, sequences, heads, head_size, head_size), or null for zeros
  DecayInput decay_input;              // what w is
};

/// What the backward needs of the forward. Both null: nothing is kept.
struct Wkv7Kept {
  float* chunk_states;  // (batch, chunks, heads, head_size, head_size): the state before each chunk
  float* state_a;       // (batch, tokens, heads, head_size): S_{t-1} a_t
};

struct Wkv7Outputs {
  float* y;            // (batch, tokens, heads, head_size)
  float* final_state;  // (batch, sequences, heads, head_size, head_size)
};

struct Wkv7OutputGradients {
  const float* y;
  const float* final_state;  // null for zeros
};

struct Wkv7InputGradients {
  float *r, *w, *k, *v, *a, *b;
  float* initial_state;  // null when not wanted
};

namespace cpu {
void wkv7_forward(const Wkv7Inputs& inputs, const Wkv7Outputs& outputs, const Wkv7Kept& kept);
void wkv7_backward(const Wkv7Inputs& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients& output_gradients, const Wkv7InputGradients& input_gradients);
}  // namespace cpu

/// Head sizes 32, 64 and 128. Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
void wkv7_forward(const Wkv7Inputs& inputs, const Wkv7Outputs& outputs, const Wkv7Kept& kept, void* stream);
void wkv7_backward(const Wkv7Inputs& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients& output_gradients, const Wkv7InputGradients& input_gradients,
                   void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
