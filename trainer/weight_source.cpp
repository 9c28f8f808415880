// SPDX-License-Identifier: Apache-2.0
#include "trainer/weight_source.h"

#include <ATen/ATen.h>

#include <memory>
#include <utility>

#include "common/error.h"
#include "common/log.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/weights/infer_config.h"
#include "trainer/weights/load.h"
#include "trainer/weights/published_file.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;

void add(WeightSource& source, const fs::path& path, weights::PublishedFile file) {
  for (auto& [name, weight] : file.weights)
    if (!source.table.emplace(name, std::move(weight)).second)
      throw ConfigError("{}: holds '{}', which {} holds, too (which one counts?). Name one of them.",
                        path.string(), name, source.where);
  source.where += (source.where.empty() ? "" : " and ") + path.string();
  // A whole VisualRWKV checkpoint has positions for the grid it was trained with.
  source.native =
      source.native || file.kind == weights::FileKind::kDinoV2 || file.kind == weights::FileKind::kSiglip;
}

void add_expected(WeightSource& source, const char* key, const fs::path& path, weights::FileKind expected) {
  if (path.empty()) return;
  weights::PublishedFile file = weights::open_published_file(path);
  if (file.kind != expected)
    throw ConfigError("{}: holds {}, but [paths] {} should name {}.", path.string(),
                      weights::describe(file.kind), key, weights::describe(expected));
  add(source, path, std::move(file));
}

}  // namespace

bool is_published_file(const fs::path& path) { return fs::is_regular_file(path); }

WeightSource open_checkpoint_weights(const fs::path& path) {
  const fs::path checkpoint = checkpoint::resolve(path);
  const auto reader = std::make_shared<checkpoint::ParameterReader>(checkpoint);
  WeightSource source;
  source.where = checkpoint.string();
  for (const checkpoint::TensorEntry& tensor : reader->manifest().tensors)
    source.table.emplace(tensor.name,
                         weights::Weight{.shape = tensor.shape,
                                         .rows = [reader, &tensor](std::int64_t first, std::int64_t count) {
                                           return reader->rows(tensor, first, count);
                                         }});
  return source;
}

WeightSource open_published_weights(const std::vector<fs::path>& files) {
  WeightSource source;
  for (const fs::path& path : files) add(source, path, weights::open_published_file(path));
  return source;
}

WeightSource open_initial_weights(const TrainerConfig& config) {
  if (!config.initial_model.empty())
    return is_published_file(config.initial_model) ? open_published_weights({config.initial_model})
                                                   : open_checkpoint_weights(config.initial_model);
  WeightSource source;
  const PublishedPaths& paths = config.published;
  add_expected(source, "language_model", paths.language_model, weights::FileKind::kLanguageModel);
  add_expected(source, "dinov2", paths.dinov2, weights::FileKind::kDinoV2);
  add_expected(source, "siglip", paths.siglip, weights::FileKind::kSiglip);
  add_expected(source, "sam", paths.sam, weights::FileKind::kSam);
  return source;
}

model::ModelConfig with_ranks_of(model::ModelConfig config, const fs::path& checkpoint) {
  weights::WeightTable shapes;
  for (const checkpoint::TensorEntry& tensor : checkpoint::describe(checkpoint).tensors)
    shapes[tensor.name].shape = tensor.shape;
  weights::fill_ranks(config.language_model, shapes);
  return config;
}

model::VisualRwkv make_model(model::ModelConfig config, const WeightSource& source, std::uint64_t seed) {
  if (source.empty()) return {config, seed};
  weights::fill_ranks(config.language_model, source.table);
  const std::string misfits = weights::describe_misfits(source.table, config, /*projector_is_optional=*/true);
  if (!misfits.empty())
    throw ConfigError(
        "{}: does not fit the configured model: {}. Name the files of all its parts, and make [model] and "
        "[vision] those of the files.",
        source.where, misfits);
  model::VisualRwkv model(config, seed,
                          [&](const std::string& name) { return !source.table.contains(name); });
  weights::load(source.table, model);
  return model;
}

}  // namespace vrwkv::trainer
