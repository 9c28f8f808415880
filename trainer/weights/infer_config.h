// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "trainer/model/model_config.h"
#include "trainer/weights/weight.h"

namespace vrwkv::weights {

/// Takes the ranks of the low-rank pairs that are 0 in `config` from the shapes in `table`; those it does not
/// hold stay 0.
void fill_ranks(model::LanguageModelConfig& config, const WeightTable& table);

/// The model that tensors are of, from their names and shapes.
///
/// What shapes do not say follows the published models: attention heads of 64 channels in DINOv2, of 72 in
/// SigLIP where they divide its width and 64 otherwise (SAM's show in its position tables); the encoders'
/// output is that of the second-to-last block there is; encoders of one grid, SAM's where it is in use, else
/// that of kDefaultImageSize pixels when the positions are `native` ones, which will be resampled, else
/// that of the positions; as many tokens per image as the grid has places.
/// @param where  begins messages.
///
/// A size is what most of the tensors that show it agree on, and the published one where none does, so that
/// describe_misfits() can name all that does not fit.
/// @throws ConfigError when there is no language model, or the number of heads of an encoder is anybody's
/// guess.
model::ModelConfig infer_model_config(const WeightTable& table, bool native, const std::string& where);
inline constexpr std::int64_t kDefaultImageSize = 448;

/// The tables [model] and [vision] of a configuration file, all keys.
std::string model_toml(const model::ModelConfig& config);

}  // namespace vrwkv::weights
