// SPDX-License-Identifier: Apache-2.0
#include "launcher/data_mixture.h"

#include "data/text/tokenizer.h"
#include "trainer/vocabulary.h"

namespace vrwkv::launcher {

data::Mixture open_mixture(const trainer::TrainerConfig& config) {
  const auto tokenizer = data::Tokenizer::load(trainer::find_vocabulary(config.data.vocabulary),
                                               config.model.language_model.vocabulary_size);
  const auto view = config.data.view(config.model.vision.any(), config.model.vision.tokens_per_image);
  return {config.data.sources, tokenizer, view, config.run.directory / "index"};
}

}  // namespace vrwkv::launcher
