// SPDX-License-Identifier: Apache-2.0
#include "trainer/trainer_config.h"

#include <algorithm>
#include <limits>
#include <set>

#include "common/error.h"

namespace vrwkv::trainer {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 40;
constexpr std::int64_t kMostSamplesAStep = std::int64_t{1} << 24;  // a step is planned as a whole
constexpr const char* kOriginal = "visualrwkv-7.00";

/// A default that is none when it is empty: the key is required then.
std::optional<std::filesystem::path> optional_path(const std::filesystem::path& path) {
  return path.empty() ? std::nullopt : std::optional(path);
}

std::vector<bool> read_recompute(TomlReader& table, std::int64_t blocks) {
  const std::string mode = table.one_of("recompute", {"none", "all", "listed"}, "none");
  const auto listed = table.integers("recompute_blocks", 0, blocks - 1, std::vector<std::int64_t>{});
  if (mode != "listed" && !listed.empty())
    table.fail("recompute_blocks", "is only read with recompute = \"listed\" (the list would be ignored).");
  std::vector<bool> recompute(static_cast<std::size_t>(blocks), mode == "all");
  for (const std::int64_t block : listed) recompute[static_cast<std::size_t>(block)] = true;
  return recompute;
}

/// The paths of [paths] that are the defaults of keys elsewhere.
struct PathDefaults {
  std::filesystem::path initial_model, data_file, run_directory;
  data::ImagePlaces image_folder;
};

PathDefaults read_paths(TomlReader table, PublishedPaths& published) {
  PathDefaults defaults;
  published.language_model = table.path("language_model", published.language_model);
  published.dinov2 = table.path("dinov2", published.dinov2);
  published.siglip = table.path("siglip", published.siglip);
  published.sam = table.path("sam", published.sam);
  defaults.initial_model = table.path("initial_model", defaults.initial_model);
  defaults.data_file = table.path("data_file", defaults.data_file);
  defaults.image_folder = table.paths("image_folder", defaults.image_folder);
  defaults.run_directory = table.path("run_directory", defaults.run_directory);
  table.reject_unknown_keys();
  return defaults;
}

data::DataConfig data_defaults(bool original, const PathDefaults& paths) {
  data::DataConfig defaults;
  defaults.sources = {{.file = paths.data_file, .image_folder = paths.image_folder}};
  if (original) {
    defaults.order = data::SampleOrder::kVisualRwkv;
    defaults.conversation = data::ConversationRules::kVisualRwkv;
    defaults.images.accept_truncated = true;
  }
  return defaults;
}

/// A global batch in samples, or in tokens.
void read_batch(TomlReader& table, TrainConfig& config) {
  config.global_batch_tokens = table.integer("global_batch_tokens", 0, kMost, config.global_batch_tokens);
  config.micro_batches = table.integer("micro_batches", 0, kMostSamplesAStep, config.micro_batches);
  if (config.global_batch_tokens > 0) {
    for (const char* key : {"global_batch_size", "micro_batch_size"})
      if (table.has(key))
        table.fail(
            key, "stands beside global_batch_tokens (a step takes as many samples as it needs). Remove one.");
    if (config.micro_batches == 0)
      table.fail("micro_batches", "is missing (global_batch_tokens does not say how many a step has).");
    return;
  }
  if (config.micro_batches != 0)
    table.fail("micro_batches", "is only read with global_batch_tokens. Set micro_batch_size instead.");
  config.global_batch_size = table.integer("global_batch_size", 1, kMostSamplesAStep);
  const std::int64_t micro_batch_size = table.integer("micro_batch_size", 1, kMostSamplesAStep);
  if (config.global_batch_size % micro_batch_size != 0)
    table.fail("micro_batch_size",
               fmt::format("{} does not divide global_batch_size {} (a step is a whole number of "
                           "micro-batches). Choose a divisor.",
                           micro_batch_size, config.global_batch_size));
  config.micro_batches = config.global_batch_size / micro_batch_size;
}

TrainConfig read_train_config(TomlReader table, const model::ModelConfig& model,
                              const std::string& default_l2wrap) {
  TrainConfig config;
  config.stage = table.integer("stage", 1, 2);
  config.steps = table.integer("steps", 1, kMost);
  read_batch(table, config);
  const std::vector<std::string> parts = {"projector", "blocks", "head", "embedding"};
  config.trainable = TrainableParts::of_names(
      table.texts("trainable", parts, TrainableParts::of_stage(config.stage).names()));
  if (config.trainable.names().empty()) table.fail("trainable", "is empty (nothing would learn).");
  if (config.trainable.names() == std::vector<std::string>{"projector"} && !model.vision.any())
    table.fail("trainable",
               "is the projector alone, but a model without vision encoders has none (nothing would learn). "
               "Add a table [vision.dinov2], [vision.siglip] or [vision.sam], or name other parts.");
  config.l2wrap = l2wrap_of(table.one_of("l2wrap", {"supervised", "all", "off"}, default_l2wrap));
  config.precision = table.one_of("precision", {"auto", "fp32", "bf16"}, config.precision);
  config.gradient_clip = table.number("gradient_clip", 0, 1e12, 1.0);
  config.recompute = read_recompute(table, model.language_model.n_layer);
  const std::int64_t kept_states_mb = table.integer("kept_states_mb", 0, std::int64_t{1} << 30, 0);
  if (kept_states_mb > 0) config.kept_states_bytes = kept_states_mb * 1'000'000;
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

RunConfig read_run_config(TomlReader table, const std::filesystem::path& default_directory) {
  RunConfig config;
  config.directory = table.path("directory", optional_path(default_directory));
  if (config.directory.empty()) table.fail("directory", "is empty. Name a folder for the run's files.");
  config.device = table.one_of("device", {"auto", "cpu", "cuda"}, config.device);
  config.threads_per_rank = table.integer("threads_per_rank", 1, 4096, config.threads_per_rank);
  config.wait_limit_seconds = table.integer("wait_limit_seconds", 1, kMost, config.wait_limit_seconds);
  table.reject_unknown_keys();
  return config;
}

/// Before any table is read, so that a misspelt one is told its right name, not which keys are missing.
void reject_unknown_tables(TomlReader& root, std::initializer_list<const char*> tables) {
  for (const char* table : tables) root.table(table);
  root.reject_unknown_keys();
}

bool changes_numbers(const ResolvedKey& key) {
  // `stage` and `compat` are only the defaults of keys that count themselves.
  static const std::set<std::string> kSameBits = {
      "data.on_bad_sample",   "data.max_bad_samples", "data.threads",           "data.prefetch_bytes",
      "data.image_cache_gb",  "train.recompute",      "train.recompute_blocks", "train.stage",
      "train.kept_states_mb", "model.compat",         "train.precision",        "model.left_padding"};
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
  reject_unknown_tables(
      root, {"paths", "model", "vision", "data", "train", "optimizer", "sharding", "checkpoint", "run"});
  TrainerConfig config;
  const PathDefaults paths = read_paths(root.table("paths"), config.published);
  TomlReader model = root.table("model");
  const bool original = model.one_of("compat", {"none", kOriginal}, "none") == kOriginal;
  config.initial_model = model.path("initial_model", paths.initial_model);
  config.left_padding = model.boolean("left_padding", original);
  config.model = model::read_model_config(model, root.table("vision"));
  config.data = data::read_data_config(root.table("data"), data_defaults(original, paths));
  config.run = read_run_config(root.table("run"), paths.run_directory);
  config.train = read_train_config(root.table("train"), config.model, original ? "all" : "supervised");
  config.optimizer = read_optimizer_config(root.table("optimizer"), config.train.steps);
  config.bucket_elements = read_sharding_config(root.table("sharding"));
  config.checkpoint = read_checkpoint_config(root.table("checkpoint"));
  config.resolved_toml = document.resolved_toml();
  std::copy_if(document.resolved().begin(), document.resolved().end(),
               std::back_inserter(config.numeric_keys), changes_numbers);
  return config;
}

TrainerConfig read_model_only(TomlDocument document) {
  TomlReader root = document.root();
  reject_unknown_tables(root, {"model", "vision", "data"});
  TrainerConfig config;
  TomlReader model = root.table("model");
  const bool original = model.one_of("compat", {"none", kOriginal}, "none") == kOriginal;
  config.left_padding = model.boolean("left_padding", original);
  config.model = model::read_model_config(model, root.table("vision"));
  config.data = data_defaults(original, {});
  TomlReader data = root.table("data");
  data::read_sample_rules(data, config.data);
  data.reject_unknown_keys();
  config.train.stage = 2;
  config.train.trainable = TrainableParts::of_stage(2);
  config.train.l2wrap = original ? L2Wrap::kAll : L2Wrap::kSupervised;
  config.resolved_toml = document.resolved_toml();
  return config;
}

TrainerConfig read_stored_config(std::string_view text, const std::filesystem::path& name) {
  TomlDocument document = TomlDocument::parse(text, name);
  return document.root().has("train") ? read_trainer_config(std::move(document))
                                      : read_model_only(std::move(document));
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
