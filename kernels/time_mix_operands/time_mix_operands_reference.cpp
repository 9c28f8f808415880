// SPDX-License-Identifier: Apache-2.0
#include "kernels/time_mix_operands/time_mix_operands_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

TimeMixOperands time_mix_operands_reference(const at::Tensor& k, const at::Tensor& v, const at::Tensor& iclr,
                                            const at::Tensor& v_gate, const at::Tensor& v_first,
                                            const at::Tensor& k_k, const at::Tensor& k_a,
                                            std::int64_t head_size) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble); };
  const at::Tensor key = wide(k), value = wide(v), lr = wide(iclr).sigmoid();
  const at::Tensor scaled = (key * wide(k_k).flatten()).unflatten(1, {-1, head_size});
  const at::Tensor norm = at::linalg_vector_norm(scaled, 2, {-1}, /*keepdim=*/true);
  const at::Tensor kk = (scaled / norm.clamp_min(1e-12)).flatten(1);
  TimeMixOperands operands{
      .k = key * (1 + (lr - 1) * wide(k_a).flatten()), .v = value, .a = -kk, .b = kk * lr, .v_first = {}};
  if (!v_gate.defined()) return operands;
  operands.v_first = wide(v_first);
  operands.v = value + (operands.v_first - value) * wide(v_gate).sigmoid();
  return operands;
}

}  // namespace vrwkv::kernels
