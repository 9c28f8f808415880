// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/projector.h"

#include <ATen/ATen.h>

#include <cmath>

namespace vrwkv::model {

Projector::Projector(ProjectorKind kind, std::int64_t feature_width, std::int64_t n_embd,
                     const ParameterFactory& parameters) {
  const double bound = 1 / std::sqrt(static_cast<double>(feature_width));
  if (kind == ProjectorKind::kLinear) {
    out_ = parameters.uniform("weight", {n_embd, feature_width}, bound);
    return;
  }
  gate_ = parameters.uniform("gate.weight", {feature_width, feature_width}, bound);
  out_ = parameters.uniform("o_proj.weight", {n_embd, feature_width}, bound);
  norm_.emplace(parameters, "ln_v", n_embd, /*epsilon=*/1e-5);
}

at::Tensor Projector::operator()(const at::Tensor& features) const {
  const at::Tensor flat = features.flatten(0, 1);
  const at::Tensor gated = norm_ ? flat * at::sigmoid(project(flat, gate_)) : flat;
  const at::Tensor projected = project(gated, out_).unflatten(0, {features.size(0), features.size(1)});
  return norm_ ? (*norm_)(projected) : projected;
}

}  // namespace vrwkv::model
