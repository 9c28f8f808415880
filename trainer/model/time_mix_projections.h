// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model/layers.h"

namespace vrwkv::model {

/// bias + act(m down) up, for m (T, C): `down` (C, rank), `up` (rank, C), `bias` C elements or undefined.
struct LowRank {
  enum class Activation { kNone, kTanh, kSigmoid };

  at::Tensor bias, down, up;
  Activation activation = Activation::kNone;
};

/// The parameters of a time mix in front of the recurrence; those of the value's gate are undefined in block
/// 0.
struct TimeMixWeights {
  at::Tensor x_r, x_w, x_k, x_v, x_a, x_g;  // (1, 1, C)
  at::Tensor receptance, key, value;        // (C, C)
  LowRank decay, iclr, value_gate, gate;
};

/// What a time mix projects from its input, (T, C) each.
struct TimeMixProjections {
  at::Tensor r, w, k, v, iclr, g;
  at::Tensor v_gate;  ///< undefined in block 0
  at::Tensor last;    ///< (S, C): the normalised last token of each sequence
  at::Tensor x;       ///< a copy of the input to add to in place; its gradient is added on the way
};

/// With n = norm(x) and m_c = n + (shift(n) - n) x_c:
///
///   r = W_r m_r    k = W_k m_k    v = W_v m_v    w = decay(m_w)    iclr = iclr(m_a)    v_gate =
///   value_gate(m_v) g = gate(m_g)
///
/// The backward is written out, so that matrix products write the gradients of the mixes where the shift
/// reads them, add where one mix feeds two, and sum the gradients of biases along with those of the matrices:
/// no pass over a (T, C) tensor is made for any of that.
///
/// @param x         (T, C), before `norm`; fp32 or bf16, which is the type of everything returned.
/// @param previous  (S, C), normalised tokens before each sequence; undefined for zeros. Gets no gradient.
/// Differentiable (once) in x and all parameters.
TimeMixProjections project_time_mix(const at::Tensor& x, const LayerNorm& norm, const TimeMixWeights& weights,
                                    const at::Tensor& sequence_starts, const at::Tensor& previous);

}  // namespace vrwkv::model
