// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/named_tensor.h"

namespace vrwkv::model {

/// Makes a model's fp32 parameters one by one and lists each under its full name. A name is so written once,
/// where the tensor is made. Every tensor draws from a generator of its own, seeded by seed and full name:
/// its values depend on neither the global generator, nor threads, nor what else was made.
class ParameterFactory {
 public:
  /// Which parameters are drawn, by full name; the others keep what memory holds. An empty function: none has
  /// memory, they are on the meta device.
  using Draws = std::function<bool(const std::string&)>;
  /// @param list  where parameters are added; must outlive the factory.
  ParameterFactory(std::uint64_t seed, Draws draws, std::vector<NamedTensor>& list, std::string prefix = {});
  /// A factory of the same list whose names all begin with this one's prefix and then `prefix`.
  ParameterFactory below(const std::string& prefix) const;
  /// below("blocks.INDEX."), as all parts name their blocks.
  ParameterFactory block(std::int64_t index) const;

  at::Tensor constant(const std::string& name, at::IntArrayRef shape, double value) const;
  /// Uniform in [-bound, bound).
  at::Tensor uniform(const std::string& name, at::IntArrayRef shape, double bound) const;
  at::Tensor normal(const std::string& name, at::IntArrayRef shape, double deviation) const;
  /// (rows, columns): `gain` times a random matrix with orthonormal rows; where rows exceed columns, with
  /// orthonormal columns and `gain` times sqrt(rows / columns).
  at::Tensor orthogonal(const std::string& name, std::int64_t rows, std::int64_t columns, double gain) const;
  /// (1, 1, channels): value_of(channel).
  at::Tensor per_channel(const std::string& name, std::int64_t channels,
                         const std::function<double(std::int64_t)>& value_of) const;

 private:
  at::Tensor add(const std::string& name, at::IntArrayRef shape,
                 const std::function<void(at::Tensor&)>& fill) const;
  at::Generator generator(const std::string& name) const;

  std::uint64_t seed_;
  Draws draws_;
  std::vector<NamedTensor>* list_;
  std::string prefix_;
};

}  // namespace vrwkv::model
