// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace vrwkv::trainer {

/// How features are stored.
enum class FeatureType {
  kFp32,  ///< as a CPU computes them: bit for bit
  kBf16,  ///< rounded to nearest; bit for bit what a GPU computes
  kFp8,   ///< e4m3, each token scaled so that its largest feature is the largest number (448)
};

/// @param name  "fp32", "bf16" or "fp8".
FeatureType feature_type_of(const std::string& name);
std::string name_of(FeatureType type);
std::int64_t bytes_per_element(FeatureType type);

struct StoredFeatures {
  at::Tensor values;  ///< (P, D) fp32, bf16 or float8_e4m3fn
  at::Tensor scales;  ///< (P) fp32 with fp8, else undefined: a feature is its value times its token's scale
};

/// @param features  (P, D) fp32 or bf16, on the CPU.
StoredFeatures to_stored(const at::Tensor& features, FeatureType type);
/// (P, D) fp32.
at::Tensor from_stored(const StoredFeatures& stored);

}  // namespace vrwkv::trainer
