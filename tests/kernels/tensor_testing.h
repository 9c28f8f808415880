// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share: inputs, the measure of error, and fresh memory that shows when it is read.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace vrwkv::test {

/// While it lives, ATen fills fresh tensors with NaN, so that an element nobody wrote is seen.
class NanFilledFreshMemory {
 public:
  NanFilledFreshMemory() {
    at::globalContext().setDeterministicFillUninitializedMemory(true);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  }
  NanFilledFreshMemory(const NanFilledFreshMemory&) = delete;
  NanFilledFreshMemory& operator=(const NanFilledFreshMemory&) = delete;
  ~NanFilledFreshMemory() { at::globalContext().setDeterministicAlgorithms(false, /*warn_only=*/false); }
};

/// sqrt(sum (actual - expected)^2 / sum expected^2), in fp64; the plain root of the sum where `expected` is
/// all zero.
inline double relative_rms(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor wanted = expected.detach().to(at::kDouble);
  const double error = (actual.detach().to(at::kDouble) - wanted).square().sum().sqrt().item<double>();
  const double size = wanted.square().sum().sqrt().item<double>();
  return size > 0.0 ? error / size : error;
}

/// What relative_rms() is allowed of a tensor that an elementwise operator computes in fp32 by a handful of
/// operations, sums over channels and sums over tokens. bf16 results are rounded once more, by up to 2^-9.
inline double rounding_tolerance(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? 2e-3 : 2e-6;
}

inline at::Tensor nan_like(const at::Tensor& tensor) { return at::full_like(tensor, NAN); }

/// The first token of each sequence, and the end.
inline std::vector<std::int64_t> token_bounds(std::vector<std::int64_t> sequence_starts,
                                              std::int64_t tokens) {
  sequence_starts.push_back(tokens);
  return sequence_starts;
}

inline at::Tensor int64_list(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

}  // namespace vrwkv::test
