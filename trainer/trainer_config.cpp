// SPDX-License-Identifier: Apache-2.0
#include "trainer/trainer_config.h"

#include <algorithm>
#include <limits>
#include <set>

#include "common/error.h"

namespace vrwkv::trainer {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 40;

std::vector<bool> read_recompute(TomlReader& table, std::int64_t blocks) {
  const std::string mode = table.one_of("recompute", {"none", "all", "listed"}, "none");
  const auto listed = table.integers("recompute_blocks", 0, blocks - 1, std::vector<std::int64_t>{});
  if (mode != "listed" && !listed.empty())
    table.fail("recompute_blocks", "is only read with recompute = \"listed\" (the list would be ignored).");
  std::vector<bool> recompute(static_cast<std::size_t>(blocks), mode == "all");
  for (const std::int64_t block : listed) recompute[static_cast<std::size_t>(block)] = true;
  return recompute;
}

TrainConfig read_train_config(TomlReader table, const model::ModelConfig& model) {
  TrainConfig config;
  config.stage = table.integer("stage", 1, 2);
  config.steps = table.integer("steps", 1, kMost);
  config.global_batch_size = table.integer("global_batch_size", 1, kMost);
  config.micro_batch_size = table.integer("micro_batch_size", 1, kMost);
  if (config.global_batch_size % config.micro_batch_size != 0)
    table.fail("micro_batch_size",
               fmt::format("{} does not divide global_batch_size {} (a step is a whole number of "
                           "micro-batches). Choose a divisor.",
                           config.micro_batch_size, config.global_batch_size));
  const std::vector<std::string> parts = {"projector", "blocks", "head", "embedding"};
  config.trainable = TrainableParts::of_names(
      table.texts("trainable", parts, TrainableParts::of_stage(config.stage).names()));
  if (config.trainable.names().empty()) table.fail("trainable", "is empty (nothing would learn).");
  if (config.trainable.names() == std::vector<std::string>{"projector"} && !model.vision.any())
    table.fail("trainable",
               "is the projector alone, but a model without vision encoders has none (nothing would learn). "
               "Add a table [vision.dinov2], [vision.siglip] or [vision.sam], or name other parts.");
  config.l2wrap = l2wrap_of(table.one_of("l2wrap", {"supervised", "all", "off"}, "supervised"));
  config.gradient_clip = table.number("gradient_clip", 0, 1e12, 1.0);
  config.recompute = read_recompute(table, model.language_model.n_layer);
  config.seed =
      static_cast<std::uint64_t>(table.integer("seed", 0, std::numeric_limits<std::int64_t>::max(), 0));
  table.reject_unknown_keys();
  return config;
}

OptimizerConfig read_optimizer_config(TomlReader table, std::int64_t steps) {
  OptimizerConfig config;
  config.schedule.steps = steps;
  config.schedule.initial = table.number("learning_rate", 0, 1e3);
  config.schedule.final = table.number("final_learning_rate", 0, 1e3, config.schedule.initial);
  config.schedule.warmup_steps = table.integer("warmup_steps", 0, kMost, 0);
  config.beta1 = table.number("beta1", 0, 1 - 1e-12, config.beta1);
  config.beta2 = table.number("beta2", 0, 1 - 1e-12, config.beta2);
  config.epsilon = table.number("epsilon", 1e-30, 1, config.epsilon);
  config.weight_decay = table.number("weight_decay", 0, 1e3, config.weight_decay);
  table.reject_unknown_keys();
  return config;
}

std::int64_t read_sharding_config(TomlReader table) {
  table.integer("zero_stage", 1, 1, 1);
  const std::int64_t bucket =
      table.integer("bucket_elements", 65536, std::int64_t{1} << 30, std::int64_t{1} << 24);
  table.reject_unknown_keys();
  return bucket;
}

CheckpointConfig read_checkpoint_config(TomlReader table) {
  CheckpointConfig config;
  config.every_steps = table.integer("every_steps", 0, kMost, config.every_steps);
  config.keep_last = table.integer("keep_last", 1, kMost, config.keep_last);
  table.reject_unknown_keys();
  return config;
}

RunConfig read_run_config(TomlReader table) {
  RunConfig config;
  config.directory = table.path("directory");
  if (config.directory.empty()) table.fail("directory", "is empty. Name a folder for the run's files.");
  config.device = table.one_of("device", {"auto", "cpu"}, config.device);
  config.threads_per_rank = table.integer("threads_per_rank", 1, 4096, config.threads_per_rank);
  config.loader_threads = table.integer("loader_threads", 1, 256, config.loader_threads);
  config.wait_limit_seconds = table.integer("wait_limit_seconds", 1, kMost, config.wait_limit_seconds);
  table.reject_unknown_keys();
  return config;
}

bool changes_numbers(const ResolvedKey& key) {
  // `stage` is the default of `trainable`, which counts itself.
  static const std::set<std::string> kSameBits = {"data.on_bad_sample", "data.max_bad_samples",
                                                  "train.recompute", "train.recompute_blocks", "train.stage"};
  const std::string table = key.name.substr(0, key.name.find('.'));
  return !key.is_path && table != "run" && table != "sharding" && table != "checkpoint" &&
         !kSameBits.contains(key.name);
}

}  // namespace

L2Wrap l2wrap_of(const std::string& name) {
  if (name == "off") return L2Wrap::kOff;
  return name == "all" ? L2Wrap::kAll : L2Wrap::kSupervised;
}

TrainerConfig read_trainer_config(TomlDocument document,
                                  const std::optional<std::filesystem::path>& run_directory) {
  if (run_directory)
    document.set("run.directory", std::filesystem::absolute(*run_directory).lexically_normal().string());
  TomlReader root = document.root();
  TrainerConfig config;
  TomlReader model = root.table("model");
  config.initial_model = model.path("initial_model", std::filesystem::path());
  config.model = model::read_model_config(model, root.table("vision"));
  config.data = data::read_data_config(root.table("data"));
  config.train = read_train_config(root.table("train"), config.model);
  config.optimizer = read_optimizer_config(root.table("optimizer"), config.train.steps);
  config.bucket_elements = read_sharding_config(root.table("sharding"));
  config.checkpoint = read_checkpoint_config(root.table("checkpoint"));
  config.run = read_run_config(root.table("run"));
  root.reject_unknown_keys();
  config.resolved_toml = document.resolved_toml();
  std::copy_if(document.resolved().begin(), document.resolved().end(),
               std::back_inserter(config.numeric_keys), changes_numbers);
  return config;
}

std::vector<std::string> numeric_differences(const TrainerConfig& here, const TrainerConfig& there) {
  std::vector<std::string> differences;
  const auto value_in = [](const std::vector<ResolvedKey>& keys, const std::string& name) -> std::string {
    const auto found =
        std::find_if(keys.begin(), keys.end(), [&](const ResolvedKey& key) { return key.name == name; });
    return found == keys.end() ? "absent" : found->value;
  };
  for (const auto& key : here.numeric_keys) {
    const std::string other = value_in(there.numeric_keys, key.name);
    if (other != key.value)
      differences.push_back(fmt::format("{} = {} there, {} here", key.name, other, key.value));
  }
  for (const auto& key : there.numeric_keys)
    if (value_in(here.numeric_keys, key.name) == "absent")
      differences.push_back(fmt::format("{} = {} there, absent here", key.name, key.value));
  return differences;
}

}  // namespace vrwkv::trainer
