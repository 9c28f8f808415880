// SPDX-License-Identifier: Apache-2.0
// What wkv6.cpp asks of a device. Plain pointers of that device: neither LibTorch nor CUDA is seen here.
// `Element`, of the activations, is float or Bf16. The equation is at wkv6() in wkv6.h. Tensors are
// contiguous; states are [value][key].
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/wkv7/kept_states.h"

namespace vrwkv::kernels {

/// Tokens between two kept states, which the backward computes again from the first.
inline constexpr std::int64_t kWkv6Chunk = 16;

template <class Element>
struct Wkv6Inputs {
  std::int64_t batch, tokens, heads, head_size, sequences;
  const std::int64_t* token_bounds;  // (sequences + 1): sequence s is tokens [bounds[s], bounds[s + 1])
  const Element *r, *k, *v, *w;      // (batch, tokens, heads, head_size)
  const float* u;                    // (heads, head_size)
  const float* initial_state;        // (batch, sequences, heads, head_size, head_size), null for zeros
};

template <class Element>
struct Wkv6Outputs {
  Element* y;          // (batch, tokens, heads, head_size)
  float* final_state;  // (batch, sequences, heads, head_size, head_size)
  float* kept_states;  // (batch, kept_state_count(tokens, sequences, kWkv6Chunk), heads, head_size,
                       // head_size), or null to keep none
};

template <class Element>
struct Wkv6OutputGradients {
  const Element* y;
  const float* final_state;  // null for zeros
  const float* kept_states;  // the forward's
};

template <class Element>
struct Wkv6InputGradients {
  Element *r, *k, *v, *w;
  float* u_parts;        // (batch, sequences, heads, head_size): each sequence's part of u's
  float* initial_state;  // null when not wanted
};

namespace cpu {
template <class Element>
void wkv6_forward(const Wkv6Inputs<Element>& inputs, const Wkv6Outputs<Element>& outputs);
template <class Element>
void wkv6_backward(const Wkv6Inputs<Element>& inputs, const Wkv6OutputGradients<Element>& output_gradients,
                   const Wkv6InputGradients<Element>& input_gradients);
}  // namespace cpu

/// Head sizes 32, 64 and 128. Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
template <class Element>
void wkv6_forward(const Wkv6Inputs<Element>& inputs, const Wkv6Outputs<Element>& outputs, void* stream);
template <class Element>
void wkv6_backward(const Wkv6Inputs<Element>& inputs, const Wkv6OutputGradients<Element>& output_gradients,
                   const Wkv6InputGradients<Element>& input_gradients, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
