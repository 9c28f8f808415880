// SPDX-License-Identifier: Apache-2.0
#include "kernels/time_mix_operands/time_mix_operands_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

TimeMixOperands time_mix_operands_reference(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                            const at::Tensor& iclr, const at::Tensor& v_gate,
                                            const at::Tensor& v_first, const at::Tensor& k_k,
                                            const at::Tensor& k_a, const at::Tensor& r_k) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble); };
  const auto heads = [&](const at::Tensor& x) { return x.unflatten(1, r_k.sizes()); };
  const at::Tensor key = wide(k), value = wide(v), lr = wide(iclr).sigmoid();
  const at::Tensor scaled = heads(key * wide(k_k).flatten());
  const at::Tensor norm = at::linalg_vector_norm(scaled, 2, {-1}, /*keepdim=*/true);
  const at::Tensor kk = (scaled / norm.clamp_min(1e-12)).flatten(1);
  const at::Tensor modified = key * (1 + (lr - 1) * wide(k_a).flatten());
  // What rounding takes is a constant: gradients pass as if there were none.
  const at::Tensor rounded = modified + (wide(modified.detach().to(k.scalar_type())) - modified.detach());
  TimeMixOperands operands{.r = wide(r),
                           .k = modified,
                           .v = value,
                           .a = -kk,
                           .b = kk * lr,
                           .bonus = (heads(wide(r)) * heads(rounded) * wide(r_k)).sum(-1),
                           .bonus_v = {},
                           .v_first = value};
  if (v_gate.defined()) {
    operands.v_first = wide(v_first);
    operands.v = value + (operands.v_first - value) * wide(v_gate).sigmoid();
  }
  operands.bonus_v = operands.v;
  return operands;
}

}  // namespace vrwkv::kernels
