// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <utility>

#include "common/error.h"
#include "common/file_system.h"
#include "common/mpi/all_or_none.h"
#include "trainer/features/feature_store.h"
#include "trainer/features/image_reader.h"
#include "trainer/features/store_description.h"

namespace vrwkv::trainer {
namespace {

std::vector<std::string> names_of(std::span<const FeatureImage> images) {
  std::vector<std::string> names;
  for (const FeatureImage& image : images) names.push_back(image.name);
  return names;
}

/// One rank's share of the work.
class Maker {
 public:
  Maker(const model::VisualRwkv& model, const FeatureJob& job, const StoreDescription& description,
        const std::function<void(std::int64_t)>& on_progress)
      : model_(model), job_(job), description_(description), on_progress_(on_progress) {}

  /// Whether the shard is there, whole, of these images. Counts them then.
  bool keep(std::int64_t shard) {
    const auto path = shard_path(job_.folder, shard);
    if (!std::filesystem::exists(path)) return false;
    const FeatureShard there(path, description_.shape);
    const auto images = images_of(shard);
    if (there.images() != names_of(images)) return false;
    for (std::size_t i = 0; i < images.size(); ++i) {
      const auto image = static_cast<std::int64_t>(i);
      if (has_changed(there.file_of(image), there.defect(image).empty(), *job_.stores[images[i].store],
                      images[i].path))
        return false;
    }
    for (std::size_t i = 0; i < images.size(); ++i) count(there.defect(static_cast<std::int64_t>(i)));
    summary_.kept += static_cast<std::int64_t>(images.size());
    on_progress_(summary_.kept + summary_.encoded);
    return true;
  }

  void encode(const std::vector<std::int64_t>& shards) {
    std::vector<std::size_t> numbers;
    for (const std::int64_t shard : shards)
      for (const FeatureImage& image : images_of(shard))
        numbers.push_back(static_cast<std::size_t>(&image - job_.images.data()));
    ImageReader reader(job_, std::move(numbers), model_.image_sizes());
    for (const std::int64_t shard : shards) encode(shard, reader);
  }

  const FeatureSummary& summary() const { return summary_; }

 private:
  std::span<const FeatureImage> images_of(std::int64_t shard) const {
    const auto begin = static_cast<std::size_t>(shard * job_.images_per_shard);
    const auto end = std::min(job_.images.size(), begin + static_cast<std::size_t>(job_.images_per_shard));
    return {job_.images.data() + begin, end - begin};
  }

  void encode(std::int64_t shard, ImageReader& reader) {
    const auto images = images_of(shard);
    FeatureShardWriter writer(shard_path(job_.folder, shard), names_of(images), description_.shape);
    for (std::int64_t image = 0; image < static_cast<std::int64_t>(images.size()); ++image) {
      const Pixels pixels = reader.next();
      if (pixels.defect.empty()) {
        const at::Tensor features = model_.pool_images(model_.encode_images(pixels.by_size)).squeeze(0);
        writer.write(image, pixels.file, to_stored(features.cpu(), job_.type));
      } else {
        writer.refuse(image, pixels.file, pixels.defect);
      }
      count(pixels.defect);
      ++summary_.encoded;
      on_progress_(summary_.kept + summary_.encoded);
    }
    writer.commit();
  }

  void count(const std::string& defect) { summary_.refused += defect.empty() ? 0 : 1; }

  const model::VisualRwkv& model_;
  const FeatureJob& job_;
  const StoreDescription& description_;
  const std::function<void(std::int64_t)>& on_progress_;
  FeatureSummary summary_;
};

/// Collective. This rank's share of the shards that have to be made: a job that goes on deals what is left.
std::vector<std::int64_t> share_of_missing(Maker& maker, std::int64_t shards,
                                           const mpi::Communicator& world) {
  std::vector<std::int64_t> is_missing(static_cast<std::size_t>(shards));
  mpi::all_or_none(world, "features that are there", [&] {
    for (std::int64_t shard = world.rank(); shard < shards; shard += world.size())
      is_missing[static_cast<std::size_t>(shard)] = maker.keep(shard) ? 0 : 1;
  });
  world.sum(is_missing, "missing features");
  std::vector<std::int64_t> share;
  std::int64_t missing = 0;
  for (std::int64_t shard = 0; shard < shards; ++shard)
    if (is_missing[static_cast<std::size_t>(shard)] != 0 && missing++ % world.size() == world.rank())
      share.push_back(shard);
  return share;
}

/// Writes store.json, unless one that fits is there, and removes shards beyond the last.
void prepare(const FeatureJob& job, const StoreDescription& wanted) {
  const auto there = read_description(job.folder);
  const std::string difference = there ? first_difference(there->key, wanted.key) : "";
  if (!difference.empty())
    throw ConfigError(
        "{}: holds features by other encoders or from other pixels ({}). Choose another folder, or "
        "delete this one.",
        job.folder.string(), difference);
  vrwkv::create_directories(job.folder);
  write_description(job.folder, wanted);
  for (std::int64_t shard = wanted.shards(); std::filesystem::remove(shard_path(job.folder, shard));
       ++shard) {
  }
}

}  // namespace

std::int64_t FeatureJob::shards() const {
  return (static_cast<std::int64_t>(images.size()) + images_per_shard - 1) / images_per_shard;
}

FeatureSummary make_features(const model::VisualRwkv& model, const FeatureJob& job,
                             const mpi::Communicator& world,
                             const std::function<void(std::int64_t)>& on_progress) {
  const auto& vision = model.config().vision;
  const StoreDescription description{
      .key = feature_key(model, job.options, job.type),
      .shape = {.tokens = vision.tokens_per_image, .width = vision.feature_width(), .type = job.type},
      .images = static_cast<std::int64_t>(job.images.size()),
      .images_per_shard = job.images_per_shard};
  mpi::all_or_none(world, "feature store", [&] {
    if (world.rank() == 0) prepare(job, description);
  });
  Maker maker(model, job, description, on_progress);
  const std::vector<std::int64_t> share = share_of_missing(maker, job.shards(), world);
  mpi::all_or_none_of_shares(world, "features", [&] { maker.encode(share); });
  std::vector<std::int64_t> sums = {maker.summary().encoded, maker.summary().kept, maker.summary().refused};
  world.sum(sums, "feature counts");
  return {.encoded = sums[0], .kept = sums[1], .refused = sums[2]};
}

}  // namespace vrwkv::trainer
