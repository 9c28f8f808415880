// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "data/sample_reader.h"
#include "data/text/sample_file.h"
#include "sharding/collectives.h"
#include "trainer/model/visual_rwkv.h"
#include "trainer/trainable.h"
#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

struct ForwardOptions {
  TrainableParts trainable;  ///< whose gradients are written
  L2Wrap l2wrap = L2Wrap::kSupervised;
  bool gradients = false;
  bool logits = true;
  bool features = false;
};

/// Runs all samples of a file, as one global batch, through the code that trains, and writes what it computed
/// to an HDF5 file (docs/forward.md). Every sample is a micro-batch of its own, uncut; one without a target
/// has loss 0 and counts in the mean. Holds one sample's tensors at a time.
/// @param alone   collectives of one rank.
/// @param output  appears whole or not at all; an older file of this name is replaced.
/// @throws DataError for a sample that cannot be rendered or whose image cannot be read.  @throws IoError.
/// @throws ConfigError when gradients are asked for and the model has no parameter that learns.
void write_forward(const model::VisualRwkv& model, const data::SampleReader& reader,
                   const data::SampleFile& samples, const ForwardOptions& options,
                   sharding::Collectives& alone, const std::filesystem::path& output);

}  // namespace vrwkv::trainer
