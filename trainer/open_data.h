// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "common/mpi/communicator.h"
#include "data/loader.h"
#include "trainer/model/visual_rwkv.h"
#include "trainer/run_directory.h"
#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

/// Threads for a rank to read data with: `[data] threads`, or the cores that it has to itself, as
/// share_of_cores() says, less those that it computes on; one at least.
int reading_threads(const TrainerConfig& config, int cores);

/// Collective. Opens the data of a run, making an index that is missing.
/// @throws DataError on all ranks when it cannot be used on one, or ranks see different data or leave out
/// different samples.  @throws ConfigError when the list of these is the one that the run writes.
std::unique_ptr<data::Loader> open_data(const TrainerConfig& config, const model::VisualRwkv& model,
                                        const RunDirectory& directory, const mpi::Communicator& world);

}  // namespace vrwkv::trainer
