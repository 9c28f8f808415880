// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "data/image/image.h"
#include "trainer/features/feature_type.h"
#include "trainer/model/visual_rwkv.h"

namespace vrwkv::trainer {

/// All that stored features depend on, one fact a line: how images become pixels, each encoder parameter by
/// checksum, pooling, types. Equal keys mean equal features.
using FeatureKey = std::vector<std::string>;

FeatureKey feature_key(const model::VisualRwkv& model, const data::ImageOptions& images, FeatureType type);

/// "'stored bf16' there, 'stored fp8' here": the first line in which two keys differ; empty when none does.
std::string first_difference(const FeatureKey& there, const FeatureKey& here);

}  // namespace vrwkv::trainer
