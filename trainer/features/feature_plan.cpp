// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_plan.h"

#include <fmt/core.h>

#include <string_view>
#include <unordered_set>

#include "common/error.h"
#include "trainer/model/encoder_cost.h"

namespace vrwkv::trainer {
namespace {

std::vector<data::ImagePlaces> image_folders(const data::Mixture& mixture) {
  std::vector<data::ImagePlaces> folders;
  for (const auto& part : mixture.parts()) folders.push_back(part.source.image_folder);
  return folders;
}

/// "3.20 TB", with the largest unit that leaves a number of at least one.
std::string in_units(double value, std::string_view unit) {
  static constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t prefix = 0;
  for (; value >= 1000 && prefix + 1 < std::size(kPrefixes); ++prefix) value /= 1000;
  return fmt::format("{:.3g} {}{}", value, kPrefixes[prefix], unit);
}

std::int64_t stored_bytes(const model::VisionConfig& vision, FeatureType type) {
  const FeatureShape shape{vision.tokens_per_image, vision.feature_width(), type};
  return shape.feature_bytes() + shape.scale_bytes();
}

std::uint64_t folder_bytes(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (entry.is_regular_file(ignored)) bytes += entry.file_size(ignored);
  return bytes;
}

}  // namespace

std::vector<FeatureImage> distinct_images(const data::Mixture& mixture) {
  const auto prefixes = data::feature_prefixes(image_folders(mixture));
  std::vector<FeatureImage> images;
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < mixture.parts().size(); ++i) {
    const auto& part = mixture.parts()[i];
    for (std::int64_t image = 0; image < part.index.distinct_images(); ++image) {
      const std::string path(part.index.image_path(image));
      std::string name = prefixes[i] + path;
      if (seen.insert(name).second) images.push_back({std::move(name), path, i});
    }
  }
  return images;
}

FeaturePlan plan_features(const data::Mixture& mixture, std::int64_t images,
                          const model::VisionConfig& vision, FeatureType type) {
  FeaturePlan plan{.images = images,
                   .bytes_per_image = stored_bytes(vision, type),
                   .flops_per_image = model::encoder_flops(vision)};
  for (std::int64_t record = 0; record < mixture.size(); ++record) {
    const data::SampleFacts facts = mixture.facts(record);
    if (!facts.is_bad) plan.uses += facts.images;
  }
  return plan;
}

std::string describe(const FeaturePlan& plan, FeatureType type) {
  return fmt::format(
      "{} distinct images, used {} times an epoch\n"
      "store: {} as {} ({} an image)\n"
      "encoders: {} an image, {} now; training from the store saves {} an epoch",
      plan.images, plan.uses, in_units(static_cast<double>(plan.bytes()), "B"), name_of(type),
      in_units(static_cast<double>(plan.bytes_per_image), "B"), in_units(plan.flops_per_image, "FLOP"),
      in_units(plan.flops_now(), "FLOP"), in_units(plan.flops_saved_per_epoch(), "FLOP"));
}

void require_room(const std::filesystem::path& folder, const FeaturePlan& plan) {
  std::filesystem::path there = std::filesystem::absolute(folder);
  while (!std::filesystem::exists(there) && there.has_relative_path()) there = there.parent_path();
  std::error_code unknown;
  const auto space = std::filesystem::space(there, unknown);
  if (unknown) return;
  const auto needed = static_cast<std::uint64_t>(plan.bytes());
  const std::uint64_t room = space.available + folder_bytes(folder);
  if (room < needed)
    throw ConfigError(
        "{}: has room for {} but the features need {}. Choose a smaller [data] feature_type, fewer "
        "[vision] tokens_per_image, or another disk.",
        folder.string(), in_units(static_cast<double>(room), "B"),
        in_units(static_cast<double>(needed), "B"));
}

}  // namespace vrwkv::trainer
