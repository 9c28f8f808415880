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
  const at::Tensor out = typed_as(out_, features);
  if (!norm_) return at::linear(features, out);
  const at::Tensor gate = at::sigmoid(at::linear(features, typed_as(gate_, features)));
  return (*norm_)(at::linear(features * gate, out));
}

}  // namespace vrwkv::model
