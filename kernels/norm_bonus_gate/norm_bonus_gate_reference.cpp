// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_bonus_gate/norm_bonus_gate_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

at::Tensor norm_bonus_gate_reference(const at::Tensor& y, const at::Tensor& bonus, const at::Tensor& v,
                                     const at::Tensor& g, const at::Tensor& weight, const at::Tensor& bias,
                                     double epsilon) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble); };
  const std::int64_t heads = bonus.size(1);
  const at::Tensor normed =
      at::group_norm(wide(y), heads, wide(weight).flatten(), wide(bias).flatten(), epsilon);
  const at::Tensor own = wide(bonus).unsqueeze(-1) * wide(v).unflatten(1, {heads, -1});
  return (normed + own.flatten(1)) * wide(g);
}

}  // namespace vrwkv::kernels
