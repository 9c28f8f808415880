// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "trainer/model/model_config.h"

namespace vrwkv::trainer {

/// What the encoders spend on an image, in tokens that the language model trains on: by the number of
/// floating-point operations, 6 for each weight of a block's matrices and token (forward, and backward's two
/// products). A constant of the configuration and not a measurement, since the deal of a step depends on it.
/// The same when stored features are read. 0 without encoders.
std::int64_t image_cost_in_tokens(const model::ModelConfig& config);

}  // namespace vrwkv::trainer
