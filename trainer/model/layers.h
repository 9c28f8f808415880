// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "trainer/model/parameter_factory.h"

namespace vrwkv::model {

/// A parameter in the type that is computed in, which is that of `x`. Differentiable: its gradient is fp32.
at::Tensor typed_as(const at::Tensor& parameter, const at::Tensor& x);

/// x weight^T for x (T, in) and weight (out, in); where there is a `summand`, added to it in place and
/// returned. Differentiable; the gradient of the weight is summed in fp32 and stays so, whatever the type of
/// `x`.
at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& summand = {});

/// `tensor` on `device`: itself where it is there; else through pinned memory, queued without waiting.
at::Tensor to_device(const at::Tensor& tensor, c10::Device device);

/// LayerNorm over the last axis. It is computed in the type of its parameters, so that their gradients are
/// not rounded to that of `x`, which is returned.
class LayerNorm {
 public:
  /// Makes NAME.weight and NAME.bias (width): 1 and 0.
  LayerNorm(const ParameterFactory& parameters, const std::string& name, std::int64_t width, double epsilon);
  at::Tensor operator()(const at::Tensor& x) const;

  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }
  double epsilon() const { return epsilon_; }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  double epsilon_;
};

/// The same of a frozen encoder: it is computed in the type of `x`.
class VitNorm {
 public:
  VitNorm(const ParameterFactory& parameters, const std::string& name, std::int64_t width, double epsilon);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  LayerNorm norm_;
};

/// The linear map of a frozen encoder, with a bias.
class VitLinear {
 public:
  /// Makes NAME.weight (out, in), which keeps the variance of its input, and NAME.bias, zero.
  VitLinear(const ParameterFactory& parameters, const std::string& name, std::int64_t in, std::int64_t out);
  at::Tensor operator()(const at::Tensor& x) const;
  /// (out): what becomes of a zero.
  const at::Tensor& bias() const noexcept { return bias_; }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
};

/// Cuts pictures into square patches, each mapped linearly.
class PatchEmbedding {
 public:
  /// Makes patch_embed.proj.weight (width, 3, patch_size, patch_size) and .bias (width); random weights give
  /// patches of unit-variance pixels unit variance.
  PatchEmbedding(const ParameterFactory& parameters, std::int64_t patch_size, std::int64_t width);
  /// (I, 3, S, S) -> (I, grid, grid, width); a rest of the picture that fills no patch is left out.
  at::Tensor operator()(const at::Tensor& images) const;

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  std::int64_t patch_size_;
};

}  // namespace vrwkv::model
