// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/mpi/communicator.h"

namespace vrwkv::trainer {

struct ImportReport {
  std::filesystem::path checkpoint;
  std::string model_toml;      ///< [model] and [vision] of the checkpoint
  bool new_projector = false;  ///< no file held one: it is random
};

/// Makes a checkpoint of step 0 out of published files, which together are a whole model: one VisualRWKV, or
/// a language model with or without encoders. None of its tensors trains; a run starts from it by [model]
/// initial_model.
/// @param settings  as load_model takes them.
/// @param seed      of a projector that no file holds.
/// @param alone     one rank.
/// @throws ConfigError when the files do not make a model, or `folder` holds a checkpoint already.
ImportReport import_weights(const std::vector<std::filesystem::path>& files,
                            const std::vector<std::string>& settings, std::uint64_t seed,
                            const std::filesystem::path& folder, const mpi::Communicator& alone);

}  // namespace vrwkv::trainer
