// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv/recurrence_check.h"

#include <ATen/ATen.h>

#include <cmath>

#include "common/error.h"

namespace vrwkv::kernels {

at::Tensor checked_heads(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() < 2) return tensor;
  const std::int64_t heads = tensor.dim() == 2 ? 0 : 2;
  if (tensor.size(heads) <= 2) return tensor;
  return at::cat({tensor.narrow(heads, 0, 1), tensor.narrow(heads, tensor.size(heads) - 1, 1)}, heads);
}

std::vector<at::Tensor> checked_heads(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> checked;
  for (const at::Tensor& tensor : tensors) checked.push_back(checked_heads(tensor));
  return checked;
}

bool check_against_fallback(const char* where, const std::vector<const char*>& names,
                            const std::vector<at::Tensor>& chunked, const std::vector<at::Tensor>& fallback) {
  bool all_finite = true, compared = false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!fallback[i].defined()) continue;
    const at::Tensor expected = fallback[i].to(at::kDouble);
    const double norm = expected.norm().item<double>();
    all_finite &= std::isfinite(norm);
    if (norm == 0 || !std::isfinite(norm)) continue;
    const double difference = (checked_heads(chunked[i]).to(at::kDouble) - expected).norm().item<double>();
    compared = true;
    if (difference <= kRecurrenceCheckTolerance * norm) continue;
    throw DeviceError(
        "{}: {} of the chunked kernel differs from the fallback's by {:.2e} of its norm {:.2e} (on its first "
        "call both should agree to {}). Run with VRWKV_WKV=fallback, and report the GPU.",
        where, names[i], difference / norm, norm, kRecurrenceCheckTolerance);
  }
  return all_finite && compared;
}

}  // namespace vrwkv::kernels
