// SPDX-License-Identifier: Apache-2.0
// What time_mix_operands.cpp asks of a device; the equations are at time_mix_operands() in
// time_mix_operands.h. Plain pointers of that device: neither LibTorch nor CUDA is seen here. `Element` is
// float or Bf16; (tokens, heads, head_size), contiguous, unless said otherwise.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace vrwkv::kernels {

/// Tokens whose parts of the gradients of k_k and k_a are summed into one row.
inline constexpr std::int64_t kTimeMixOperandsTile = 32;

inline std::int64_t time_mix_operands_tiles(std::int64_t tokens) {
  return (tokens + kTimeMixOperandsTile - 1) / kTimeMixOperandsTile;
}

template <class Element>
struct TimeMixOperandsInputs {
  std::int64_t tokens, heads, head_size;
  const Element *k, *iclr;
  const Element *v, *v_gate, *v_first;  // all null in block 0, where v stays what it is
  const float *k_k, *k_a;               // (heads, head_size)
};

template <class Element>
struct TimeMixOperandsOutputs {
  Element *k, *a, *b;
  Element* v;           // null in block 0
  float* inverse_norm;  // (tokens, heads): 1 / max(|k k_k|, kLeastNorm)
};

/// What the backward is given beside the inputs.
template <class Element>
struct TimeMixOperandsOutputGradients {
  const Element *k, *a, *b;
  const Element* v;           // null in block 0
  const float* inverse_norm;  // the forward's
};

template <class Element>
struct TimeMixOperandsInputGradients {
  Element *k, *iclr;
  Element *v, *v_gate, *v_first;  // null in block 0
  float* parameter_tiles;         // (tiles, 2, heads, head_size): each tile's part of k_k's and k_a's
};

/// Norms below it are taken for it; then a head's gradient does not go through its norm.
inline constexpr float kLeastNorm = 1e-12F;

namespace cpu {
template <class Element>
void time_mix_operands_forward(const TimeMixOperandsInputs<Element>& inputs,
                               const TimeMixOperandsOutputs<Element>& outputs);
template <class Element>
void time_mix_operands_backward(const TimeMixOperandsInputs<Element>& inputs,
                                const TimeMixOperandsOutputGradients<Element>& output_gradients,
                                const TimeMixOperandsInputGradients<Element>& input_gradients);
}  // namespace cpu

/// Head sizes 32, 64 and 128. Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
template <class Element>
void time_mix_operands_forward(const TimeMixOperandsInputs<Element>& inputs,
                               const TimeMixOperandsOutputs<Element>& outputs, void* stream);
template <class Element>
void time_mix_operands_backward(const TimeMixOperandsInputs<Element>& inputs,
                                const TimeMixOperandsOutputGradients<Element>& output_gradients,
                                const TimeMixOperandsInputGradients<Element>& input_gradients, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
