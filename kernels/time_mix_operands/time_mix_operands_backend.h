// SPDX-License-Identifier: Apache-2.0
// What time_mix_operands.cpp asks of a device; the equations are at time_mix_operands() in
// time_mix_operands.h. Plain pointers of that device: neither LibTorch nor CUDA is seen here. `Element` is
// float or Bf16; (tokens, heads, head_size), contiguous, unless said otherwise.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/token_ranges.h"

namespace vrwkv::kernels {

template <class Element>
struct TimeMixOperandsInputs {
  std::int64_t tokens, heads, head_size;
  const Element *r, *k, *iclr;
  const Element *v, *v_gate, *v_first;  // all null in block 0, where v stays what it is
  const float *k_k, *k_a, *r_k;         // (heads, head_size)
};

template <class Element>
struct TimeMixOperandsOutputs {
  Element *k, *a, *b;
  Element* v;                   // null in block 0
  float *bonus, *inverse_norm;  // (tokens, heads); the latter is 1 / max(|k k_k|, kLeastNorm)
};

/// What the backward is given beside the inputs.
template <class Element>
struct TimeMixOperandsOutputGradients {
  const Element *r, *k, *v, *a, *b;
  const Element* bonus_v;
  const Element* v_first;             // or null
  const float *bonus, *inverse_norm;  // (tokens, heads); the latter is the forward's
};

template <class Element>
struct TimeMixOperandsInputGradients {
  Element *r, *k, *iclr, *v;
  Element *v_gate, *v_first;  // null in block 0
  float* range_sums;  // (token_ranges(tokens), 3, heads, head_size): each range's part of k_k's, k_a's and
                      // r_k's
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
