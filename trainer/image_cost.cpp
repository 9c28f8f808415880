// SPDX-License-Identifier: Apache-2.0
#include "trainer/image_cost.h"

#include <cmath>

#include "trainer/model/encoder_cost.h"

namespace vrwkv::trainer {

std::int64_t image_cost_in_tokens(const model::ModelConfig& config) {
  const auto channels = static_cast<double>(config.language_model.n_embd);
  // Receptance, key, value and output of the time mix; two matrices of the channel mix, four times as wide.
  const double weights = static_cast<double>(config.language_model.n_layer) * 12 * channels * channels;
  return std::llround(model::encoder_flops(config.vision) / (6 * weights));
}

}  // namespace vrwkv::trainer
