// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/model/visual_rwkv.h"
#include "trainer/trainer_config.h"
#include "trainer/weights/weight.h"

namespace vrwkv::trainer {

/// Tensors by name, and where they come from, for messages.
struct WeightSource {
  weights::WeightTable table;
  std::string where;    ///< paths, separated by " and "; "" when there is nothing
  bool native = false;  ///< no file said which grid the encoders are used with

  bool empty() const { return table.empty(); }
};

/// Whether a path means a file of published weights, not a checkpoint of ours.
bool is_published_file(const std::filesystem::path& path);

/// The parameters of a checkpoint of ours (`path` as checkpoint::resolve takes it), verified.
/// @throws ConfigError when there is none; CheckpointError when it is damaged.
WeightSource open_checkpoint_weights(const std::filesystem::path& path);

/// Published files together, such as a language model and three encoders; each is told by its names.
/// @throws ConfigError when two of them hold the same tensor, and as open_published_file does.
WeightSource open_published_weights(const std::vector<std::filesystem::path>& files);

/// What a new run starts from: [model] initial_model, or the files of [paths]; nothing when none is named.
/// @throws ConfigError when a file holds something else than its key says.
WeightSource open_initial_weights(const TrainerConfig& config);

/// `config` with its ranks that are 0 replaced by those of a checkpoint's tensors; reads its manifest only.
model::ModelConfig with_ranks_of(model::ModelConfig config, const std::filesystem::path& checkpoint);

/// A model of `config`, whose ranks that are 0 are those of the source; parameters that the source lacks are
/// random, from the seed: all of them, or the projector.
/// @throws ConfigError naming all missing, surplus and misshapen tensors.
model::VisualRwkv make_model(model::ModelConfig config, const WeightSource& source, std::uint64_t seed);

}  // namespace vrwkv::trainer
