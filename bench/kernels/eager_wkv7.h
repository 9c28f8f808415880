// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace vrwkv::bench {

/// The WKV-7 recurrence as one writes it without a kernel: a loop over the tokens. r, w, k, v, a, b
/// (B, T, H, N), w the raw decay; (B, T, H, N).
/// unbind, not indexing: the backward of x[:, t] writes a whole gradient for every token.
inline at::Tensor eager_wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k,
                             const at::Tensor& v, const at::Tensor& a, const at::Tensor& b) {
  const auto r_t = r.unbind(1), k_t = k.unbind(1), v_t = v.unbind(1), a_t = a.unbind(1), b_t = b.unbind(1);
  const auto decay_t = w.exp().neg().exp().unbind(1);
  at::Tensor state = at::zeros({r.size(0), r.size(2), r.size(3), r.size(3)}, r.options());
  std::vector<at::Tensor> y;
  for (std::size_t t = 0; t < r_t.size(); ++t) {
    const at::Tensor state_a = state.matmul(a_t[t].unsqueeze(-1));
    state = at::addcmul(state * decay_t[t].unsqueeze(-2), state_a, b_t[t].unsqueeze(-2));
    state = at::addcmul(state, v_t[t].unsqueeze(-1), k_t[t].unsqueeze(-2));
    y.push_back(state.matmul(r_t[t].unsqueeze(-1)).squeeze(-1));
  }
  return at::stack(y, 1);
}

}  // namespace vrwkv::bench
