// SPDX-License-Identifier: Apache-2.0
// What wkv6.cpp asks of a device. Plain pointers of that device: neither LibTorch nor CUDA is seen here.
// `Element`, of the activations, is float or Bf16. The equation is at wkv6() in wkv6.h. Tensors are
// contiguous; states are [value][key].
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/wkv/kept_states.h"

namespace vrwkv::kernels {

/// Tokens between two kept states, which the backward computes again from the first; and those of the chunked
/// kernels.
inline constexpr std::int64_t kWkv6Chunk = 16;
inline constexpr std::int64_t kWkv6ChunkedInterval = 32;

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
  void* kept_states;   // wkv6_kept_bytes() or wkv6_chunked_kept_bytes(), in an order of the kernel's own; or
                       // null to keep none
};

template <class Element>
struct Wkv6OutputGradients {
  const Element* y;
  const float* final_state;  // null for zeros
  const void* kept_states;   // the forward's
};

template <class Element>
struct Wkv6InputGradients {
  Element *r, *k, *v, *w;
  float* u_parts;        // (batch, sequences, heads, head_size): each sequence's part of u's
  float* initial_state;  // null when not wanted
};

template <class Element>
std::int64_t wkv6_kept_bytes(const Wkv6Inputs<Element>& in) {
  return kept_state_bytes<float>(in, kWkv6Chunk);
}
inline std::int64_t wkv6_chunked_kept_bytes(const Wkv6Inputs<Bf16>& in) {
  return kept_state_bytes<Bf16>(in, kWkv6ChunkedInterval);
}

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

/// The same with head size 64, sixteen tokens at a time, as bf16 matrix products with fp32 sums: the chunked
/// form is at the top of chunked/stage.h. Decays below e^-9.5 are taken as it on the way through the state:
/// what remains of it is then less than what bf16 resolves of the next token. Products of a k and a v beyond
/// 2^17 may overflow where eight decays in a row are that small. A NaN in an input gives NaN in what depends
/// on any of its 16 tokens. Pointers are on 16-byte boundaries.
void wkv6_chunked_forward(const Wkv6Inputs<Bf16>& inputs, const Wkv6Outputs<Bf16>& outputs, void* stream);
void wkv6_chunked_backward(const Wkv6Inputs<Bf16>& inputs, const Wkv6OutputGradients<Bf16>& output_gradients,
                           const Wkv6InputGradients<Bf16>& input_gradients, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
