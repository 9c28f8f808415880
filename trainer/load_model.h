// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "trainer/model/visual_rwkv.h"
#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

/// Copies every parameter of `model` from a checkpoint (`path` as checkpoint::resolve takes it).
/// @throws ConfigError naming all missing, surplus and misshapen tensors; @throws CheckpointError when it is
/// damaged.
void load_model_parameters(model::VisualRwkv& model, const std::filesystem::path& path);

/// A trained model, ready to answer, with the configuration it was trained by.
struct LoadedModel {
  TrainerConfig config;
  std::filesystem::path checkpoint;
  model::VisualRwkv model;
};
LoadedModel load_model(const std::filesystem::path& path);

}  // namespace vrwkv::trainer
