// SPDX-License-Identifier: Apache-2.0
#include "sharding/flat_parameters.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/error.h"
#include "sharding/shard_layout.h"

namespace vrwkv::sharding {
namespace {

/// Matrices decay; gains, biases and the (1, 1, C) vectors of RWKV do not.
bool weight_decay_applies(at::IntArrayRef shape) {
  return std::count_if(shape.begin(), shape.end(), [](std::int64_t size) { return size > 1; }) >= 2;
}

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

FlatParameters::FlatParameters(std::vector<NamedTensor> trainable, const InBf16& in_bf16)
    : tensors_(std::move(trainable)) {
  std::set<std::string> names;
  for (const NamedTensor& parameter : tensors_) {
    const auto& [name, tensor] = parameter;
    if (tensor.scalar_type() != at::kFloat || tensor.dim() == 0 || tensor.numel() == 0)
      throw ShapeError("flat parameters: '{}' is not an fp32 tensor with elements.", name);
    if (!names.insert(name).second) throw ShapeError("flat parameters: '{}' is given twice.", name);
    entries_.push_back({.name = name,
                        .shape = tensor.sizes().vec(),
                        .offset = numel_,
                        .numel = tensor.numel(),
                        .decays = weight_decay_applies(tensor.sizes()),
                        .in_bf16 = in_bf16 && in_bf16(parameter)});
    numel_ = round_up(numel_ + tensor.numel(), kViewAlignment);
  }
  const at::NoGradGuard no_grad;
  const c10::Device device = tensors_.empty() ? c10::Device(c10::kCPU) : tensors_.front().tensor.device();
  flat_ = at::zeros({ShardLayout(numel_, 1).padded_numel()}, at::TensorOptions(at::kFloat).device(device));
  for (std::size_t i = 0; i < tensors_.size(); ++i) view(flat_, i).copy_(tensors_[i].tensor);
  if (std::any_of(entries_.begin(), entries_.end(), [](const FlatParameter& entry) { return entry.in_bf16; }))
    rounded_ = flat_.to(at::kBFloat16);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const at::Tensor& handle = tensors_[i].tensor;
    handle.set_data(view(entries_[i].in_bf16 ? rounded_ : flat_, i));
    if (entries_[i].in_bf16) handle.set_grad_dtype(at::kFloat);
  }
}

at::Tensor FlatParameters::new_gradient() const { return at::zeros({padded_numel()}, flat_.options()); }

at::Tensor FlatParameters::view(const at::Tensor& flat, std::size_t parameter) const {
  if (flat.dim() != 1 || flat.numel() != padded_numel() || !flat.is_contiguous())
    throw ShapeError("flat parameters: a flat tensor of {} elements for parameters of {}.", flat.numel(),
                     padded_numel());
  const FlatParameter& entry = entries_.at(parameter);
  return flat.narrow(0, entry.offset, entry.numel).view(entry.shape);
}

std::vector<at::Tensor> FlatParameters::views(const at::Tensor& flat) const {
  std::vector<at::Tensor> result;
  result.reserve(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) result.push_back(view(flat, i));
  return result;
}

}  // namespace vrwkv::sharding
