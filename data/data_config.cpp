// SPDX-License-Identifier: Apache-2.0
#include "data/data_config.h"

namespace vrwkv::data {

DataConfig read_data_config(TomlReader table, const DataConfig& defaults) {
  constexpr std::int64_t kMostTokens = 1 << 24;
  constexpr std::int64_t kMostSamples = std::int64_t{1} << 40;
  DataConfig config = defaults;
  config.file = table.path("file", defaults.file.empty() ? std::nullopt : std::optional(defaults.file));
  config.image_folder = table.path("image_folder", config.image_folder);
  config.vocabulary = table.path("vocabulary", config.vocabulary);
  config.eval_file = table.path("eval_file", config.eval_file);
  config.eval_image_folder = table.path("eval_image_folder", config.image_folder);
  config.context_length = table.integer("context_length", 1, kMostTokens, config.context_length);
  const bool skip = table.one_of("on_bad_sample", {"stop", "skip"}, "stop") == "skip";
  config.on_bad_sample = skip ? BadSamplePolicy::kSkip : BadSamplePolicy::kStop;
  config.max_bad_samples = table.integer("max_bad_samples", 0, kMostSamples, config.max_bad_samples);
  table.one_of("order", {"bijection"}, "bijection");
  table.reject_unknown_keys();
  return config;
}

}  // namespace vrwkv::data
