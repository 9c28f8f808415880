// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/model/visual_rwkv.h"
#include "trainer/trainer_config.h"
#include "trainer/weight_source.h"

namespace vrwkv::trainer {

/// A trained model, ready to answer, with the configuration it was trained by; of published weights, one as
/// read_model_only() takes it, with [model] and [vision] as their shapes say.
struct LoadedModel {
  TrainerConfig config;
  std::filesystem::path checkpoint;  ///< of ours, or the file
  model::VisualRwkv model;
};

/// Opens a checkpoint (`path` as checkpoint::resolve takes it) or one file of published weights: a whole
/// VisualRWKV, or a language model alone.
/// @param settings  "vision.siglip.heads=4", "model.compat=visualrwkv-7.00": keys for published weights, of
/// the
///                  tables that read_model_only() takes; they replace what the shapes say.
/// @throws ConfigError naming all missing, surplus and misshapen tensors; CheckpointError when it is damaged.
LoadedModel load_model(const std::filesystem::path& path, const std::vector<std::string>& settings = {});

/// The configuration of the model that published weights are of.
TrainerConfig infer_config(const WeightSource& source, const std::vector<std::string>& settings);

}  // namespace vrwkv::trainer
