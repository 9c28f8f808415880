// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>

#include "trainer/model/layers.h"
#include "trainer/model/model_config.h"
#include "trainer/model/parameter_factory.h"
#include "trainer/model/rwkv_state.h"
#include "trainer/model/time_mix_projections.h"

namespace vrwkv::model {

/// LayerNorm's epsilon in the language model.
inline constexpr double kRwkvEpsilon = 1e-5;

/// RWKV-7's time mix and the sum around it. With n = norm(x) and m_c = n + (shift(n) - n) x_c for c in r, w,
/// k, v, a, g:
///
///   r = W_r m_r;   k = W_k m_k;   v = W_v m_v
///   w = w0 + tanh(m_w w1) w2                                    d = exp(-e^-1/2 sigmoid(w)) >= 0.545
///   v = v + (v_first - v) sigmoid(v0 + m_v v1 v2)               in block 0: v_first = v
///   a = sigmoid(a0 + m_a a1 a2);   g = sigmoid(m_g g1) g2
///   kk = k k_k, each head divided by its norm;   k = k (1 + (a - 1) k_a)
///   y = GroupNorm_heads(wkv(r, w, k, v, -kk, kk a)) + (per head: sum r k r_k) v
///   out = x + W_o (y g)
class TimeMix {
 public:
  TimeMix(const LanguageModelConfig& config, std::int64_t layer, const ParameterFactory& parameters);

  struct Result {
    at::Tensor x;        ///< (1, T, C)
    at::Tensor v_first;  ///< (1, T, C)
  };
  /// @param x        (1, T, C), before `norm`.
  /// @param v_first  ignored in block 0.
  /// @param state    null, or read (att_shift, wkv) and replaced.
  /// @param kept_states_bytes  see Wkv7Options.
  Result operator()(const at::Tensor& x, const LayerNorm& norm, const at::Tensor& v_first,
                    const at::Tensor& sequence_starts, LayerState* state,
                    std::int64_t kept_states_bytes = std::numeric_limits<std::int64_t>::max()) const;

 private:
  std::int64_t layer_;
  std::int64_t heads_;
  std::int64_t head_size_;
  TimeMixWeights weights_;
  at::Tensor k_k_, k_a_;                // (1, 1, C)
  at::Tensor r_k_;                      // (H, N)
  at::Tensor output_;                   // (C, C)
  at::Tensor ln_x_weight_, ln_x_bias_;  // (C)
};

}  // namespace vrwkv::model
