// SPDX-License-Identifier: Apache-2.0
#include "trainer/load_model.h"

#include <ATen/ATen.h>

#include "common/error.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/weights/infer_config.h"
#include "trainer/weights/load.h"

namespace vrwkv::trainer {
namespace {

LoadedModel load(TrainerConfig config, const std::filesystem::path& path, const WeightSource& source) {
  weights::fill_ranks(config.model.language_model, source.table);
  const std::string misfits =
      weights::describe_misfits(source.table, config.model, /*projector_is_optional=*/false);
  if (!misfits.empty()) throw ConfigError("{}: is not a whole model: {}.", source.where, misfits);
  model::VisualRwkv model = model::VisualRwkv::uninitialized(config.model);
  weights::load(source.table, model);
  return {std::move(config), path, std::move(model)};
}

}  // namespace

TrainerConfig infer_config(const WeightSource& source, const std::vector<std::string>& settings) {
  const std::string text =
      weights::model_toml(weights::infer_model_config(source.table, source.native, source.where));
  return read_model_only(TomlDocument::parse(text, source.where, settings));
}

LoadedModel load_model(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  if (is_published_file(path)) {
    const WeightSource source = open_published_weights({path});
    return load(infer_config(source, settings), path, source);
  }
  if (!settings.empty())
    throw ConfigError("{}: --set is for files of published weights (a checkpoint knows its configuration).",
                      path.string());
  const std::filesystem::path checkpoint = checkpoint::resolve(path);
  const std::string stored = checkpoint::describe(checkpoint).state.config_toml;
  return load(read_stored_config(stored, checkpoint / "config.toml"), checkpoint,
              open_checkpoint_weights(checkpoint));
}

}  // namespace vrwkv::trainer
