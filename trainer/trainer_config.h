// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "common/toml_reader.h"
#include "data/data_config.h"
#include "trainer/learning_rate_schedule.h"
#include "trainer/model/model_config.h"
#include "trainer/trainable.h"

namespace vrwkv::trainer {

enum class L2Wrap { kSupervised, kAll, kOff };
/// @param name  "supervised", "all" or "off".
L2Wrap l2wrap_of(const std::string& name);

struct TrainConfig {
  std::int64_t stage = 2;
  std::int64_t steps = 0;                ///< optimizer updates of the whole run; the schedule's length
  std::int64_t global_batch_size = 0;    ///< samples a step; 0: `global_batch_tokens` says how many
  std::int64_t global_batch_tokens = 0;  ///< a step takes samples until it holds so many tokens
  std::int64_t micro_batches = 0;        ///< of a step
  TrainableParts trainable;
  L2Wrap l2wrap = L2Wrap::kSupervised;
  std::string precision = "auto";  ///< see choose_compute()
  double gradient_clip = 1.0;      ///< global L2 norm; 0 turns clipping off
  std::vector<bool>
      recompute;  ///< per block: run its forward again in backward instead of keeping activations
  std::int64_t kept_states_bytes = std::numeric_limits<std::int64_t>::max();  ///< see BlockSchedule::Options
  std::uint64_t seed = 0;
};

struct OptimizerConfig {
  LearningRateSchedule schedule;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

struct CheckpointConfig {
  std::int64_t every_steps = 0;  ///< 0: only at the end and on request
  std::int64_t keep_last = 2;
};

struct RunConfig {
  std::filesystem::path directory;
  std::string device = "auto";  ///< see choose_compute()
  std::int64_t threads_per_rank = 1;
  std::int64_t wait_limit_seconds = 1800;
};

/// Files of published weights that a new run starts from; "" where none is named.
struct PublishedPaths {
  std::filesystem::path language_model;
  std::filesystem::path dinov2;
  std::filesystem::path siglip;
  std::filesystem::path sam;
};

/// A whole configuration file, read and validated.
struct TrainerConfig {
  model::ModelConfig model;
  /// Run directory, checkpoint or published file whose parameters the run starts from; "": `published`.
  std::filesystem::path initial_model;
  PublishedPaths published;
  bool left_padding = false;  ///< in answers: see eval::GenerateOptions
  data::DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  std::int64_t bucket_elements = 0;
  CheckpointConfig checkpoint;
  RunConfig run;

  std::string resolved_toml;              ///< every key with its value, as it is stored beside the results
  std::vector<ResolvedKey> numeric_keys;  ///< those whose change would change the numbers
};

/// @param run_directory  replaces [run] directory when given.
/// @throws ConfigError with file and line for every mistake a file can hold. Opens no data and no weights.
TrainerConfig read_trainer_config(TomlDocument document,
                                  const std::optional<std::filesystem::path>& run_directory = {});

/// A configuration without training, as a checkpoint of imported weights has: the tables [model] and
/// [vision], and of [data] what says how a sample is read; the rest is default.
TrainerConfig read_model_only(TomlDocument document);
/// The configuration that a checkpoint holds: a whole one, or as read_model_only takes it.
TrainerConfig read_stored_config(std::string_view text, const std::filesystem::path& name);

/// "train.steps = 400 there, 500 here" for each number-changing key in which two configurations differ.
std::vector<std::string> numeric_differences(const TrainerConfig& here, const TrainerConfig& there);

}  // namespace vrwkv::trainer
