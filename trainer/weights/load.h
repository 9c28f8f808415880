// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "trainer/model/visual_rwkv.h"
#include "trainer/weights/weight.h"

namespace vrwkv::weights {

/// Every parameter of a model of `config` that `table` lacks, every tensor that the model lacks, and every
/// one of another shape or type, by name: "missing: a, b; surplus: c; other shape: d is (2, 3), not (3, 3);
/// not floating-point: e". Empty when all fit. No memory is taken for the model.
///
/// Position embeddings of another grid fit. What nothing is computed with may be missing, and, if the caller
/// says so, the projector as a whole: a new one is trained then.
std::string describe_misfits(const WeightTable& table, const model::ModelConfig& config,
                             bool projector_is_optional);

/// Copies all of `table`, which fits, into the model's parameters, tensor by tensor, converted to fp32;
/// position embeddings are resampled where the grid differs. Unused parameters that are missing become zero.
void load(const WeightTable& table, const model::VisualRwkv& model);

}  // namespace vrwkv::weights
