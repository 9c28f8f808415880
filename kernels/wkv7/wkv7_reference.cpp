// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7_reference.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

namespace vrwkv::kernels {

Wkv7Result wkv7_reference(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                          const at::Tensor& a, const at::Tensor& b, const at::Tensor& sequence_starts,
                          const at::Tensor& initial_state, const Wkv7Options& options) {
  // unbind, not indexing: the backward of x[:, t] writes a whole gradient for every token.
  const auto tokens_of = [](const at::Tensor& x) { return x.to(at::kDouble).unbind(1); };
  const auto r_t = tokens_of(r), k_t = tokens_of(k), v_t = tokens_of(v), a_t = tokens_of(a),
             b_t = tokens_of(b);
  const at::Tensor w_64 = w.to(at::kDouble);
  const at::Tensor rate =
      options.decay_input == DecayInput::kPreClamped ? w_64.exp() : std::exp(-0.5) * w_64.sigmoid();
  const auto d_t = rate.neg().exp().unbind(1);
  const std::int64_t sequences = sequence_starts.numel();
  std::vector<at::Tensor> y;
  std::vector<at::Tensor> final_states;
  for (std::int64_t s = 0; s < sequences; ++s) {
    const auto begin = sequence_starts[s].item<std::int64_t>();
    const auto end = s + 1 < sequences ? sequence_starts[s + 1].item<std::int64_t>() : r.size(1);
    at::Tensor state = initial_state.defined() ? initial_state.select(1, s).to(at::kDouble)
                                               : at::zeros({r.size(0), r.size(2), r.size(3), r.size(3)},
                                                           r.options().dtype(at::kDouble));
    for (std::int64_t t = begin; t < end; ++t) {
      const at::Tensor state_a = state.matmul(a_t[t].unsqueeze(-1));
      state = state * d_t[t].unsqueeze(-2) + state_a * b_t[t].unsqueeze(-2) +
              v_t[t].unsqueeze(-1) * k_t[t].unsqueeze(-2);
      y.push_back(state.matmul(r_t[t].unsqueeze(-1)).squeeze(-1));
    }
    final_states.push_back(state);
  }
  return {.y = at::stack(y, 1), .final_state = at::stack(final_states, 1)};
}

}  // namespace vrwkv::kernels
