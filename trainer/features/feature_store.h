// SPDX-License-Identifier: Apache-2.0
// A folder with what the frozen encoders make of each distinct image, pooled:
//
//     store.json        the key, the shape, images per shard; written first
//     shard-00000.h5    images [0, K) in the order of their first appearance, and so on: see feature_shard.h
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/mpi/communicator.h"
#include "data/image_features.h"
#include "data/storage/image_store.h"
#include "trainer/features/feature_key.h"
#include "trainer/features/feature_shard.h"

namespace vrwkv::trainer {

/// One distinct image of a mixture.
struct FeatureImage {
  std::string name;       ///< in the store: its path behind its source's prefix; distinct
  std::string path;       ///< in its source's image store
  std::size_t store = 0;  ///< which source's
};

/// A store to read from. Opening maps the shards; features are read, and checked, when they are asked for.
class FeatureStore : public data::ImageFeatures {
 public:
  /// @param image_folders  of each source: the images must still be there, since features are only good for
  /// the
  ///                       files that they were made of.
  /// @throws ConfigError when it is not there, incomplete, or was made with another key: it would be stale.
  /// @throws Error (data refused) when a shard is damaged.  @throws DataError as data::open_image_stores().
  FeatureStore(std::filesystem::path folder, const FeatureKey& key,
               const std::vector<data::ImagePlaces>& image_folders);

  /// Makes sure, before training begins, that it has all of these images, and that they are the ones that it
  /// was made of: reads a few of each source whole, which tells apart folders with the same names in them.
  /// @throws Error (data refused).
  void require(const std::vector<FeatureImage>& images) const;

  /// @throws Error (data refused) when it has none of the image, or the image's file has another size now, or
  /// when bytes of the store changed.
  at::Tensor read(std::size_t source, const std::string& image) const override;
  std::int64_t bytes_per_image() const override;
  std::int64_t images() const { return static_cast<std::int64_t>(places_.size()); }

 private:
  struct Place {
    std::uint32_t shard = 0, image = 0;
  };
  const Place& place_of(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& why) const;

  std::filesystem::path folder_;
  FeatureShape shape_;
  data::ImageStores stores_;
  std::vector<std::string> prefixes_;  ///< of each source
  std::vector<FeatureShard> shards_;
  std::unordered_map<std::string, Place> places_;  ///< by name
};

/// What is to be stored.
struct FeatureJob {
  data::ImageStores stores;
  std::vector<FeatureImage> images;
  std::filesystem::path folder;
  data::ImageOptions options;
  FeatureType type = FeatureType::kBf16;
  std::int64_t images_per_shard = 128;
  int threads = 1;  ///< that decode ahead of the encoders

  std::int64_t shards() const;
};

struct FeatureSummary {
  std::int64_t encoded = 0;  ///< in this call
  std::int64_t kept = 0;     ///< found in whole shards
  std::int64_t refused = 0;  ///< images without features, of all
};

/// Collective. Fills the store, the shards that are missing dealt over the ranks. Shards that hold the same
/// images already, of files that have not changed, are kept, so that a job that was killed goes on; others
/// are replaced.
/// @param on_progress  called on each rank after each of its images, with how many of its own are done.
/// @throws ConfigError when the folder holds a store with another key.
FeatureSummary make_features(const model::VisualRwkv& model, const FeatureJob& job,
                             const mpi::Communicator& world,
                             const std::function<void(std::int64_t)>& on_progress);

}  // namespace vrwkv::trainer
