// SPDX-License-Identifier: Apache-2.0
#include "kernels/argument_checks.h"

#include <fmt/ranges.h>

#include "common/error.h"

namespace vrwkv::kernels {

std::string shape_text(at::IntArrayRef sizes) {
  return fmt::format("({})", fmt::join(sizes.begin(), sizes.end(), ", "));
}

void check_present(const char* where, const char* name, const at::Tensor& tensor) {
  if (!tensor.defined()) throw ShapeError("{}: {} is missing.", where, name);
  if (tensor.layout() != at::kStrided || !(tensor.is_cpu() || tensor.is_cuda())) {
    throw ShapeError("{}: {} is {} on {} but should be dense, on a CPU or a CUDA device.", where, name,
                     c10::str(tensor.layout()), tensor.device().str());
  }
}

namespace {

void check_device(const char* where, const char* name, const at::Tensor& tensor, at::Device device) {
  if (tensor.device() != device) {
    throw ShapeError("{}: {} is on {} but should be on {} (all tensors share one device).", where, name,
                     tensor.device().str(), device.str());
  }
}

}  // namespace

void check_float32(const char* where, const char* name, const at::Tensor& tensor) {
  check_present(where, name, tensor);
  if (tensor.scalar_type() != at::kFloat) {
    throw ShapeError("{}: {} is {} but should be Float (only fp32 is computed).", where, name,
                     c10::toString(tensor.scalar_type()));
  }
}

void check_float32(const char* where, const char* name, const at::Tensor& tensor, at::Device device) {
  check_float32(where, name, tensor);
  check_device(where, name, tensor, device);
}

void check_activation(const char* where, const char* name, const at::Tensor& tensor, const at::Tensor& like) {
  check_present(where, name, tensor);
  const at::ScalarType type = tensor.scalar_type();
  if (type != at::kFloat && type != at::kBFloat16) {
    throw ShapeError("{}: {} is {} but should be Float or BFloat16.", where, name, c10::toString(type));
  }
  if (type != like.scalar_type()) {
    throw ShapeError("{}: {} is {} but should be {} (all activations share one type).", where, name,
                     c10::toString(type), c10::toString(like.scalar_type()));
  }
  check_device(where, name, tensor, like.device());
  check_shape(where, name, tensor, like.sizes(), "all activations share one shape");
}

void check_shape(const char* where, const char* name, const at::Tensor& tensor, at::IntArrayRef expected,
                 const char* why) {
  check_present(where, name, tensor);
  if (tensor.sizes() != expected) {
    throw ShapeError("{}: {} is {} but should be {} ({}).", where, name, shape_text(tensor.sizes()),
                     shape_text(expected), why);
  }
}

void check_vector(const char* where, const char* name, const at::Tensor& tensor, std::int64_t count,
                  at::Device device) {
  check_float32(where, name, tensor, device);
  if (tensor.numel() != count) {
    throw ShapeError("{}: {} is {} but should have {} elements (one a channel).", where, name,
                     shape_text(tensor.sizes()), count);
  }
}

void check_sequence_starts(const char* where, const at::Tensor& sequence_starts, std::int64_t tokens) {
  const at::Tensor& starts = sequence_starts;
  check_present(where, "sequence_starts", starts);
  if (starts.dim() != 1 || starts.numel() == 0 || starts.scalar_type() != at::kLong || !starts.is_cpu() ||
      !starts.is_contiguous()) {
    throw ShapeError("{}: sequence_starts is not a contiguous, non-empty list of int64 on the CPU.", where);
  }
  const auto* values = starts.const_data_ptr<std::int64_t>();
  if (values[0] != 0) {
    throw ShapeError("{}: sequence_starts begins with {} (the first sequence starts at token 0).", where,
                     values[0]);
  }
  for (std::int64_t s = 1; s < starts.numel(); ++s) {
    if (values[s] <= values[s - 1]) {
      throw ShapeError("{}: sequence_starts[{}] is {} after {} (starts ascend; no sequence is empty).", where,
                       s, values[s], values[s - 1]);
    }
  }
  if (values[starts.numel() - 1] >= tokens) {
    throw ShapeError("{}: sequence_starts ends with {} but there are {} tokens (no sequence is empty).",
                     where, values[starts.numel() - 1], tokens);
  }
}

}  // namespace vrwkv::kernels
