// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_bonus_gate/norm_bonus_gate_reference.h"

#include <ATen/ATen.h>

namespace vrwkv::kernels {

at::Tensor norm_bonus_gate_reference(const at::Tensor& y, const at::Tensor& r, const at::Tensor& k,
                                     const at::Tensor& v, const at::Tensor& g, const at::Tensor& weight,
                                     const at::Tensor& bias, const at::Tensor& r_k, double epsilon) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble); };
  const auto heads = [&](const at::Tensor& x) { return wide(x).unflatten(1, r_k.sizes()); };
  const at::Tensor normed =
      at::group_norm(wide(y), r_k.size(0), wide(weight).flatten(), wide(bias).flatten(), epsilon);
  const at::Tensor bonus = (heads(r) * heads(k) * wide(r_k)).sum(-1, /*keepdim=*/true) * heads(v);
  return (normed + bonus.flatten(1)) * wide(g);
}

}  // namespace vrwkv::kernels
