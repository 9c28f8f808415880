// SPDX-License-Identifier: Apache-2.0
#include "trainer/open_data.h"

#include <algorithm>
#include <utility>

#include "common/error.h"
#include "common/mpi/all_or_none.h"
#include "common/mpi/in_turn.h"
#include "trainer/core_share.h"
#include "trainer/features/feature_plan.h"
#include "trainer/features/feature_store.h"
#include "trainer/image_cost.h"
#include "trainer/vocabulary.h"

namespace vrwkv::trainer {
namespace {

/// A run that read what it wrote would be dealt other steps after a resume than without.
void refuse_own_list(const std::filesystem::path& list, const std::filesystem::path& own_list) {
  std::error_code absent;
  if (std::filesystem::equivalent(list, own_list, absent))
    throw ConfigError(
        "[data] quarantine: {} is the list that this run adds to (a resume would not go on with the same "
        "steps). Copy it, and name the copy.",
        list.string());
}

std::unique_ptr<data::Loader> open_loader(const TrainerConfig& config, const model::VisualRwkv& model,
                                          const RunDirectory& directory, int cores) {
  data::DataConfig data = config.data;
  data.vocabulary = find_vocabulary(data.vocabulary);
  refuse_own_list(data.quarantine, directory.quarantine());
  data::StepReaderOptions options{.image_sizes = model.image_sizes(),
                                  .tokens_per_image = config.model.vision.tokens_per_image,
                                  .vocabulary_size = config.model.language_model.vocabulary_size,
                                  .seed = config.train.seed,
                                  .step = {.samples = config.train.global_batch_size,
                                           .tokens = config.train.global_batch_tokens,
                                           .micro_batches = config.train.micro_batches,
                                           .image_cost = image_cost_in_tokens(config.model)},
                                  .index_folder = directory.root() / "index"};
  std::shared_ptr<const FeatureStore> features;
  if (data.feature_type != "none") {
    const auto key = feature_key(model, data.images, feature_type_of(data.feature_type));
    features = std::make_shared<FeatureStore>(data.features, key, data.image_folders());
    options.features = features;
    options.image_sizes.clear();
  }
  auto loader = std::make_unique<data::Loader>(data, std::move(options), reading_threads(config, cores));
  if (features) features->require(distinct_images(loader->mixture()));
  return loader;
}

}  // namespace

int reading_threads(const TrainerConfig& config, int cores) {
  if (config.data.threads > 0) return static_cast<int>(config.data.threads);
  return static_cast<int>(std::max<std::int64_t>(1, cores - config.run.threads_per_rank));
}

std::unique_ptr<data::Loader> open_data(const TrainerConfig& config, const model::VisualRwkv& model,
                                        const RunDirectory& directory, const mpi::Communicator& world) {
  const int cores = share_of_cores(world);
  auto loader = mpi::in_turn(world, "data", [&] { return open_loader(config, model, directory, cores); });
  const std::string fingerprint =
      fmt::format("{:016x} {:08x}", loader->mixture().fingerprint(), loader->quarantine_checksum());
  const std::vector<std::string> all = world.all_gather(fingerprint, "data");
  mpi::all_or_none(world, "data", [&] {
    for (std::size_t rank = 0; rank < all.size(); ++rank)
      if (all[rank] != all[0])
        throw DataError(
            "{}: rank {} reads other data, or another [data] quarantine, than rank 0 (they would not train "
            "on the same samples). Give every machine the same files.",
            config.data.sources.front().file.string(), rank);
  });
  return loader;
}

}  // namespace vrwkv::trainer
