// SPDX-License-Identifier: Apache-2.0
// What wkv7.cpp asks of a device. Plain pointers of that device: neither LibTorch nor CUDA is seen here.
// `Element`, of the activations, is float or Bf16. The equation is at wkv7() in wkv7.h. Tensors are
// contiguous and 64-byte aligned; states are [value][key].
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/wkv/kept_states.h"
#include "kernels/wkv7/decay_input.h"

namespace vrwkv::kernels {

/// Tokens that the backward computes again from one state.
inline constexpr std::int64_t kWkv7Chunk = 16;

/// The longest interval of kept states that the chunked backward takes as it is; of a longer one it first
/// makes the states between. So 32 moves the fewest bytes, and each doubling beyond halves what is kept and
/// costs a pass over w, k, v, a, b.
inline constexpr std::int64_t kWkv7ChunkedLongestInterval = 32;

template <class Element>
struct Wkv7Inputs {
  std::int64_t batch, tokens, heads, head_size, sequences;
  const std::int64_t* token_bounds;      // (sequences + 1): sequence s is tokens [bounds[s], bounds[s + 1])
  const Element *r, *w, *k, *v, *a, *b;  // (batch, tokens, heads, head_size)
  const float* initial_state;            // (batch, sequences, heads, head_size, head_size), null for zeros
  DecayInput decay_input;                // what w is
};

/// What the backward needs of the forward. Both pointers null: nothing is kept.
struct Wkv7Kept {
  std::int64_t interval;  // tokens between two kept states: kWkv7Chunk times a power of two
  void* states;           // wkv7_kept_bytes() or wkv7_chunked_kept_bytes(), in an order of the kernel's own
  float* state_a;         // (batch, tokens, heads, head_size): S_{t-1} a_t; null for the chunked kernels
};

template <class Element>
struct Wkv7Outputs {
  Element* y;          // (batch, tokens, heads, head_size)
  float* final_state;  // (batch, sequences, heads, head_size, head_size)
};

template <class Element>
struct Wkv7OutputGradients {
  const Element* y;
  const float* final_state;  // null for zeros
};

template <class Element>
struct Wkv7InputGradients {
  Element *r, *w, *k, *v, *a, *b;
  float* initial_state;  // null when not wanted
};

template <class Element>
std::int64_t wkv7_kept_bytes(const Wkv7Inputs<Element>& in, std::int64_t interval) {
  return kept_state_bytes<float>(in, interval);
}
inline std::int64_t wkv7_chunked_kept_bytes(const Wkv7Inputs<Bf16>& in, std::int64_t interval) {
  return kept_state_bytes<Bf16>(in, interval);
}

/// What a GPU's backward writes to while it runs: the states before each chunk since the last one that is
/// kept; in chunks, where fewer are kept, those before every kWkv7ChunkedLongestInterval tokens.
template <class Element>
std::int64_t wkv7_workspace_bytes(const Wkv7Inputs<Element>& in, std::int64_t interval) {
  return in.batch * in.sequences * in.heads * (interval / kWkv7Chunk - 1) * in.head_size * in.head_size *
         static_cast<std::int64_t>(sizeof(float));
}
inline std::int64_t wkv7_chunked_workspace_bytes(const Wkv7Inputs<Bf16>& in, std::int64_t interval) {
  return interval <= kWkv7ChunkedLongestInterval ? 0
                                                 : wkv7_chunked_kept_bytes(in, kWkv7ChunkedLongestInterval);
}

namespace cpu {
template <class Element>
void wkv7_forward(const Wkv7Inputs<Element>& inputs, const Wkv7Outputs<Element>& outputs,
                  const Wkv7Kept& kept);
template <class Element>
void wkv7_backward(const Wkv7Inputs<Element>& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients<Element>& output_gradients,
                   const Wkv7InputGradients<Element>& input_gradients);
}  // namespace cpu

/// Head sizes 32, 64 and 128. Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
template <class Element>
void wkv7_forward(const Wkv7Inputs<Element>& inputs, const Wkv7Outputs<Element>& outputs,
                  const Wkv7Kept& kept, void* stream);
/// @param workspace  wkv7_workspace_bytes(); null where that is 0.
template <class Element>
void wkv7_backward(const Wkv7Inputs<Element>& inputs, const Wkv7Kept& kept,
                   const Wkv7OutputGradients<Element>& output_gradients,
                   const Wkv7InputGradients<Element>& input_gradients, void* workspace, void* stream);

/// The same with head size 64, sixteen tokens at a time, as bf16 matrix products with fp32 sums: the chunked
/// form is at the top of chunked/stage.h. The same inputs give the same bits. With DecayInput::kPreClamped a
/// decay below e^-4, which the model does not make, is taken as e^-4, and its w has no gradient. A NaN in an
/// input gives NaN in what depends on any of its 16 tokens.
/// Pointers are on 16-byte boundaries; either output may be null when it is not wanted.
/// @throws DeviceError when the GPU refuses, or has less shared memory for a block than any sm_80 or later.
void wkv7_chunked_forward(const Wkv7Inputs<Bf16>& inputs, const Wkv7Outputs<Bf16>& outputs,
                          const Wkv7Kept& kept, void* stream);
/// @param workspace  wkv7_chunked_workspace_bytes(); null where that is 0.
void wkv7_chunked_backward(const Wkv7Inputs<Bf16>& inputs, const Wkv7Kept& kept,
                           const Wkv7OutputGradients<Bf16>& output_gradients,
                           const Wkv7InputGradients<Bf16>& input_gradients, void* workspace, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
