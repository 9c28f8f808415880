// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/index/mixture.h"
#include "trainer/features/feature_store.h"
#include "trainer/model/model_config.h"

namespace vrwkv::trainer {

/// The distinct images of a mixture, in the order of their first appearance, each once over all sources; a
/// source's number is its store's.
std::vector<FeatureImage> distinct_images(const data::Mixture& mixture);

/// What a store would take and save, known before anything is computed.
struct FeaturePlan {
  std::int64_t images = 0;  ///< distinct ones
  std::int64_t uses = 0;    ///< images of all samples that can be trained on
  std::int64_t bytes_per_image = 0;
  double flops_per_image = 0;  ///< of the encoders
  std::int64_t bytes() const { return images * bytes_per_image; }
  double flops_now() const { return flops_per_image * static_cast<double>(images); }
  /// That training from images would spend on the encoders in every epoch.
  double flops_saved_per_epoch() const { return flops_per_image * static_cast<double>(uses); }
};

FeaturePlan plan_features(const data::Mixture& mixture, std::int64_t images,
                          const model::VisionConfig& vision, FeatureType type);

/// "2,000 images ...": for people, some lines.
std::string describe(const FeaturePlan& plan, FeatureType type);

/// @throws ConfigError when the disk that holds `folder` has less room than the store needs beside what it
/// holds.
void require_room(const std::filesystem::path& folder, const FeaturePlan& plan);

}  // namespace vrwkv::trainer
