// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/log.h"
#include "common/mpi/all_or_none.h"
#include "common/mpi/in_turn.h"
#include "launcher/commands.h"
#include "launcher/data_mixture.h"
#include "launcher/ranks.h"
#include "trainer/core_share.h"
#include "trainer/features/feature_plan.h"
#include "trainer/features/store_description.h"
#include "trainer/open_data.h"
#include "trainer/weight_source.h"

namespace vrwkv::launcher {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string config;
  std::vector<std::string> settings;
  std::optional<std::int64_t> images_per_shard;
  bool plan_only = false;
  bool json = false;
};

/// As many as the store has already, if it is there.
std::int64_t images_per_shard(const std::filesystem::path& store, const std::optional<std::int64_t>& wanted) {
  constexpr std::int64_t kDefault = 128;
  const auto there = trainer::read_description(store);
  if (!there) return wanted.value_or(kDefault);
  if (wanted && *wanted != there->images_per_shard)
    throw ConfigError(
        "{}: has {} images in a shard, not {} (all of them would be encoded again). Leave out "
        "--images-per-shard, or delete the folder.",
        store.string(), there->images_per_shard, *wanted);
  return there->images_per_shard;
}

trainer::FeatureJob make_job(const trainer::TrainerConfig& config, const Options& options,
                             const data::Mixture& mixture, int cores) {
  data::require_image_folders(config.data.image_folders());
  return {.stores = data::open_image_stores(config.data.image_folders(), config.data.cache()),
          .images = trainer::distinct_images(mixture),
          .folder = config.data.features,
          .options = config.data.images,
          .type = trainer::feature_type_of(config.data.feature_type),
          .images_per_shard = images_per_shard(config.data.features, options.images_per_shard),
          .threads = trainer::reading_threads(config, cores)};
}

void require_feature_type(const trainer::TrainerConfig& config, const Options& options) {
  if (!config.model.vision.any())
    throw ConfigError("{}: has no table [vision.*] (there is nothing to compute features with).",
                      options.config);
  if (config.data.feature_type == "none")
    throw ConfigError(
        "{}: key 'data.feature_type': is \"none\". Set it to fp32, bf16 or fp8, and features to a "
        "folder.",
        options.config);
}

nlohmann::ordered_json json_of(const trainer::FeaturePlan& plan, const trainer::FeatureJob& job) {
  return {{"folder", job.folder.string()},
          {"type", trainer::name_of(job.type)},
          {"images", plan.images},
          {"uses_per_epoch", plan.uses},
          {"bytes", plan.bytes()},
          {"flops", plan.flops_now()},
          {"flops_saved_per_epoch", plan.flops_saved_per_epoch()}};
}

trainer::FeatureSummary fill(const trainer::TrainerConfig& config, const trainer::FeatureJob& job,
                             const mpi::Communicator& world) {
  const trainer::Compute compute = choose_compute(config.run.device, config.train.precision, world);
  auto model = mpi::all_or_none(world, "weights", [&] {
    auto made = trainer::make_model(config.model, trainer::open_initial_weights(config), config.train.seed);
    made.move_to(compute.device, compute.type);
    made.cast_frozen();
    return made;
  });
  auto last_line = Clock::now();
  return trainer::make_features(model, job, world, [&](std::int64_t done) {
    if (Clock::now() - last_line < std::chrono::seconds(10)) return;
    last_line = Clock::now();
    log::information("features: {} images by this rank of {}; there are {}", done, world.size(),
                     job.images.size());
  });
}

int make_features(const Options& options, mpi::Communicator& world) {
  const auto config = mpi::all_or_none(world, "configuration", [&] {
    auto read = trainer::read_trainer_config(TomlDocument::load(options.config, options.settings));
    require_feature_type(read, options);
    return read;
  });
  world.set_limit(std::chrono::hours(24));  // a rank may be slow to encode its share of the images
  set_up_threads(config.run.threads_per_rank);
  const data::Mixture mixture = mpi::in_turn(world, "data", [&] { return open_mixture(config); });
  const int cores = trainer::share_of_cores(world);
  const auto job = mpi::in_turn(world, "images", [&] { return make_job(config, options, mixture, cores); });
  const auto plan = trainer::plan_features(mixture, static_cast<std::int64_t>(job.images.size()),
                                           config.model.vision, job.type);
  const bool tells = world.rank() == 0;
  if (tells && !options.json) fmt::print("{}\n", trainer::describe(plan, job.type));
  std::fflush(stdout);
  auto report = json_of(plan, job);
  if (!options.plan_only) {
    mpi::all_or_none(world, "room for features", [&] {
      if (world.rank() == 0) trainer::require_room(job.folder, plan);
    });
    const trainer::FeatureSummary summary = fill(config, job, world);
    report.update({{"encoded", summary.encoded}, {"kept", summary.kept}, {"refused", summary.refused}});
    if (tells && !options.json)
      fmt::print("{}: {} images encoded, {} found there, {} of all cannot be read\n", job.folder.string(),
                 summary.encoded, summary.kept, summary.refused);
  }
  if (tells && options.json) fmt::print("{}\n", report.dump());
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace

void add_data_features(CLI::App& data, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand(
      "features", "Compute the frozen encoders' features of every image once, for training to read.");
  command
      ->add_option("CONFIG", options->config,
                   "Configuration file (TOML) with [data] feature_type and features")
      ->required();
  command->add_option("--set", options->settings, "Override one key: table.key=value (repeatable)");
  command
      ->add_option(
          "--images-per-shard", options->images_per_shard,
          "Images in one file, and lost at most when the job is killed; 128, or as the store has them")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20));
  command->add_flag("--plan", options->plan_only, "Only say what it would take and save");
  command->add_flag("--json", options->json, "Print JSON instead of lines");
  command->footer(
      "Example: mpirun -n 2 vrwkv-dist data features configs/quickstart-stage2.toml --set "
      "data.feature_type=bf16 "
      "--set data.features=features");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return make_features(*options, world); });
    };
  });
}

}  // namespace vrwkv::launcher
