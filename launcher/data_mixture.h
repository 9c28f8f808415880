// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "data/index/mixture.h"
#include "trainer/trainer_config.h"

namespace vrwkv::launcher {

/// What a configuration trains on, as its model sees it. Makes indexes that are missing.
/// @throws what data::Mixture and trainer::find_vocabulary() do.
data::Mixture open_mixture(const trainer::TrainerConfig& config);

}  // namespace vrwkv::launcher
