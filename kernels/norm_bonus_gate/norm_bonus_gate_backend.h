// SPDX-License-Identifier: Apache-2.0
// What norm_bonus_gate.cpp asks of a device; the equation is at norm_bonus_gate() in norm_bonus_gate.h. Plain
// pointers of that device: neither LibTorch nor CUDA is seen here. `Element` is float or Bf16;
// (tokens, heads, head_size), contiguous, unless said otherwise.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/token_ranges.h"

namespace vrwkv::kernels {

template <class Element>
struct NormBonusGateInputs {
  std::int64_t tokens, heads, head_size;
  float epsilon;
  const Element *y, *v, *g;
  const float* bonus;          // (tokens, heads)
  const float *weight, *bias;  // (heads, head_size)
};

/// Of each token's head: (y - mean) scale is what has mean 0 and variance 1. The backward needs them.
struct NormBonusGateMoments {
  float *mean, *scale;  // (tokens, heads)
};

template <class Element>
struct NormBonusGateGradients {
  const Element* out;  // given; the others are written
  Element *y, *v, *g;
  float* bonus;       // (tokens, heads)
  float* range_sums;  // (token_ranges(tokens), 2, heads, head_size): each range's part of weight's and bias'
};

namespace cpu {
template <class Element>
void norm_bonus_gate_forward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                             Element* out);
template <class Element>
void norm_bonus_gate_backward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                              const NormBonusGateGradients<Element>& gradients);
}  // namespace cpu

/// Head sizes 32, 64 and 128. Queued on `stream` (a cudaStream_t); nothing waits.
namespace cuda {
template <class Element>
void norm_bonus_gate_forward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                             Element* out, void* stream);
template <class Element>
void norm_bonus_gate_backward(const NormBonusGateInputs<Element>& inputs, const NormBonusGateMoments& moments,
                              const NormBonusGateGradients<Element>& gradients, void* stream);
}  // namespace cuda

}  // namespace vrwkv::kernels
