// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "trainer/features/feature_key.h"
#include "trainer/features/feature_shard.h"

namespace vrwkv::trainer {

/// The file store.json of a feature store.
struct StoreDescription {
  FeatureKey key;
  FeatureShape shape;
  std::int64_t images = 0;
  std::int64_t images_per_shard = 0;

  std::int64_t shards() const { return (images + images_per_shard - 1) / images_per_shard; }
};

/// Nothing when the folder has none. @throws Error (data refused) when it cannot be understood.
std::optional<StoreDescription> read_description(const std::filesystem::path& folder);
void write_description(const std::filesystem::path& folder, const StoreDescription& description);

/// folder/shard-00007.h5
std::filesystem::path shard_path(const std::filesystem::path& folder, std::int64_t shard);

}  // namespace vrwkv::trainer
