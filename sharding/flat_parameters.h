// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/named_tensor.h"

namespace vrwkv::sharding {

/// Where one parameter lies in the flat order.
struct FlatParameter {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  ///< first element; a multiple of kViewAlignment
  std::int64_t numel = 0;
  bool decays = false;   ///< weight decay applies: at least two dimensions are longer than 1
  bool in_bf16 = false;  ///< computed with in bf16
};

/// The trainable parameters end to end in one flat fp32 tensor, the masters. What lies between and after them
/// is zero and stays so. Some may be computed with in bf16: their handles are then views of a second flat
/// tensor, which holds all masters rounded to the nearest, and their gradients are fp32 all the same. Needs
/// no knowledge of ranks: the order, the offsets and the padded length are the same on every world size.
class FlatParameters {
 public:
  /// In elements: each view starts on a cache line of 64 bytes, and no vector register spans two parameters.
  static constexpr std::int64_t kViewAlignment = 16;

  /// Which parameters are computed with in bf16; an empty function: none.
  using InBf16 = std::function<bool(const NamedTensor&)>;

  /// Copies the values into the flat tensor, which lies on their device, and rebinds each tensor to its place
  /// there, or among the rounded ones (set_data), so that every holder of the handle sees later updates. The
  /// given order is the flat order.
  /// @throws ShapeError when a tensor is not fp32, has no dimension or no element, or a name comes twice.
  explicit FlatParameters(std::vector<NamedTensor> trainable, const InBf16& in_bf16 = {});
  FlatParameters(const FlatParameters&) = delete;
  FlatParameters& operator=(const FlatParameters&) = delete;

  /// (padded_numel()) fp32: all masters. Of those whose parameters are in bf16 a rank keeps its shard
  /// current, nothing else.
  const at::Tensor& flat() const noexcept { return flat_; }
  /// (padded_numel()) bf16: the same, rounded; undefined when no parameter is computed with in bf16.
  const at::Tensor& rounded() const noexcept { return rounded_; }
  /// Up to the end of the last parameter's aligned room; what a ShardLayout is made from.
  std::int64_t numel() const noexcept { return numel_; }
  /// The same up to a whole number of shard blocks.
  std::int64_t padded_numel() const noexcept { return flat_.numel(); }

  const std::vector<FlatParameter>& entries() const noexcept { return entries_; }
  /// The same tensors that were given, in the same order.
  const std::vector<NamedTensor>& tensors() const noexcept { return tensors_; }

  /// (padded_numel()) fp32 zeros on the same device.
  at::Tensor new_gradient() const;
  /// The view of every parameter in a flat tensor of padded_numel() elements, in order; they share its
  /// memory.
  std::vector<at::Tensor> views(const at::Tensor& flat) const;
  at::Tensor view(const at::Tensor& flat, std::size_t parameter) const;

 private:
  std::vector<NamedTensor> tensors_;
  std::vector<FlatParameter> entries_;
  std::int64_t numel_ = 0;
  at::Tensor flat_;
  at::Tensor rounded_;
};

}  // namespace vrwkv::sharding
