// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/feature_store.h"

#include <ATen/core/Tensor.h>
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/error.h"
#include "trainer/features/store_description.h"

namespace vrwkv::trainer {
namespace {

/// Some images of each source, spread over it.
std::vector<const FeatureImage*> probes(const std::vector<FeatureImage>& images) {
  constexpr std::size_t kOfEachSource = 8;
  std::map<std::size_t, std::vector<const FeatureImage*>> sources;
  for (const FeatureImage& image : images) sources[image.store].push_back(&image);
  std::vector<const FeatureImage*> chosen;
  for (const auto& [source, all] : sources) {
    const std::size_t count = std::min(kOfEachSource, all.size());
    for (std::size_t i = 0; i < count; ++i) chosen.push_back(all[i * all.size() / count]);
  }
  return chosen;
}

}  // namespace

FeatureStore::FeatureStore(std::filesystem::path folder, const FeatureKey& key,
                           const std::vector<data::ImagePlaces>& image_folders)
    : folder_(std::move(folder)),
      stores_(data::open_image_stores(image_folders)),
      prefixes_(data::feature_prefixes(image_folders)) {
  const auto description = read_description(folder_);
  if (!description)
    throw ConfigError(
        "{}: holds no features. Make them with `vrwkv-dist data features`, or set [data] "
        "feature_type = \"none\".",
        folder_.string());
  const std::string difference = first_difference(description->key, key);
  if (!difference.empty())
    throw ConfigError(
        "{}: was made by other encoders or from other pixels ({}). Make the features again in another "
        "folder.",
        folder_.string(), difference);
  shape_ = description->shape;
  shards_.reserve(static_cast<std::size_t>(description->shards()));
  for (std::int64_t shard = 0; shard < description->shards(); ++shard) {
    const auto path = shard_path(folder_, shard);
    if (!std::filesystem::exists(path))
      throw ConfigError("{}: shard {} of {} is missing. Run `vrwkv-dist data features` to its end.",
                        folder_.string(), shard, description->shards());
    shards_.emplace_back(path, shape_);
    const auto& images = shards_.back().images();
    for (std::size_t i = 0; i < images.size(); ++i)
      places_.emplace(images[i], Place{static_cast<std::uint32_t>(shard), static_cast<std::uint32_t>(i)});
  }
}

std::int64_t FeatureStore::bytes_per_image() const {
  return shape_.tokens * shape_.width * static_cast<std::int64_t>(sizeof(float));
}

void FeatureStore::require(const std::vector<FeatureImage>& images) const {
  for (const FeatureImage& image : images) place_of(image.name);
  for (const FeatureImage* image : probes(images)) {
    const Place& place = place_of(image->name);
    const data::ImageStore& store = *stores_[image->store];
    if (!store.has(image->path)) continue;  // its features are of what it was
    if (identity_of(store, image->path) != shards_[place.shard].file_of(place.image))
      refuse(fmt::format("{} is not the file that the features of '{}' were made of",
                         store.describe(image->path), image->name));
  }
}

at::Tensor FeatureStore::read(std::size_t source, const std::string& image) const {
  const std::string name = prefixes_[source] + image;
  const Place& place = place_of(name);
  const FeatureShard& shard = shards_[place.shard];
  const std::string& defect = shard.defect(place.image);
  if (has_changed(shard.file_of(place.image), defect.empty(), *stores_[source], image))
    refuse(fmt::format("{} changed since the features of '{}' were made", stores_[source]->describe(image),
                       name));
  if (!defect.empty()) throw DataError("{}", defect);
  return shard.read(place.image);
}

const FeatureStore::Place& FeatureStore::place_of(const std::string& name) const {
  const auto place = places_.find(name);
  if (place == places_.end())
    refuse(fmt::format("has no features of image '{}' (the data changed since they were made)", name));
  return place->second;
}

/// Not a DataError, which would make only a sample bad: the store does not belong to the data.
void FeatureStore::refuse(const std::string& why) const {
  throw Error(
      ExitCode::kDataRefused,
      fmt::format("{}: {}. Check the order and the image folders of the sources, or run `vrwkv-dist data "
                  "features` again.",
                  folder_.string(), why));
}

}  // namespace vrwkv::trainer
