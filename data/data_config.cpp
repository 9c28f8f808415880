// SPDX-License-Identifier: Apache-2.0
#include "data/data_config.h"

namespace vrwkv::data {
namespace {

bool chosen(TomlReader& table, const char* key, const char* usual, const char* other, bool by_default) {
  return table.one_of(key, {usual, other}, by_default ? other : usual) == other;
}

}  // namespace

void read_sample_rules(TomlReader& table, DataConfig& config) {
  const bool lenient = chosen(table, "conversation", "strict", "visualrwkv",
                              config.conversation == ConversationRules::kVisualRwkv);
  config.conversation = lenient ? ConversationRules::kVisualRwkv : ConversationRules::kStrict;
  ImageOptions& images = config.images;
  images.accept_truncated = chosen(table, "truncated_images", "refuse", "accept", images.accept_truncated);
  const bool pillow13 = chosen(table, "resize_order", "horizontal_first", "pillow13",
                               images.resize_order == ResizeOrder::kPillow13);
  images.resize_order = pillow13 ? ResizeOrder::kPillow13 : ResizeOrder::kHorizontalFirst;
}

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
  const bool skip =
      chosen(table, "on_bad_sample", "stop", "skip", defaults.on_bad_sample == BadSamplePolicy::kSkip);
  config.on_bad_sample = skip ? BadSamplePolicy::kSkip : BadSamplePolicy::kStop;
  config.max_bad_samples = table.integer("max_bad_samples", 0, kMostSamples, config.max_bad_samples);
  const bool cubes =
      chosen(table, "order", "bijection", "visualrwkv", defaults.order == SampleOrder::kVisualRwkv);
  config.order = cubes ? SampleOrder::kVisualRwkv : SampleOrder::kBijection;
  read_sample_rules(table, config);
  table.reject_unknown_keys();
  return config;
}

}  // namespace vrwkv::data
