// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_type.h"

#include <ATen/ATen.h>

#include "common/error.h"

namespace vrwkv::trainer {
namespace {

constexpr double kLargestFp8 = 448;

}  // namespace

FeatureType feature_type_of(const std::string& name) {
  if (name == "fp32") return FeatureType::kFp32;
  if (name == "bf16") return FeatureType::kBf16;
  if (name == "fp8") return FeatureType::kFp8;
  throw ConfigError("'{}' is no type of stored features. Use fp32, bf16 or fp8.", name);
}

std::string name_of(FeatureType type) {
  switch (type) {
    case FeatureType::kFp32:
      return "fp32";
    case FeatureType::kBf16:
      return "bf16";
    case FeatureType::kFp8:
      return "fp8";
  }
  return {};
}

std::int64_t bytes_per_element(FeatureType type) {
  switch (type) {
    case FeatureType::kFp32:
      return 4;
    case FeatureType::kBf16:
      return 2;
    case FeatureType::kFp8:
      return 1;
  }
  return 0;
}

StoredFeatures to_stored(const at::Tensor& features, FeatureType type) {
  if (type == FeatureType::kFp32) return {features.to(at::kFloat).contiguous(), {}};
  if (type == FeatureType::kBf16) return {features.to(at::kBFloat16).contiguous(), {}};
  const at::Tensor whole = features.to(at::kFloat);
  const at::Tensor largest = whole.abs().amax(-1);
  const at::Tensor scales = at::where(largest > 0, largest / kLargestFp8, at::ones_like(largest));
  // A rounded quotient may pass the largest number by a bit, which would become NaN.
  const at::Tensor scaled = (whole / scales.unsqueeze(-1)).clamp(-kLargestFp8, kLargestFp8);
  return {scaled.to(at::kFloat8_e4m3fn).contiguous(), scales};
}

at::Tensor from_stored(const StoredFeatures& stored) {
  const at::Tensor values = stored.values.to(at::kFloat);
  return stored.scales.defined() ? values * stored.scales.unsqueeze(-1) : values;
}

}  // namespace vrwkv::trainer
