// SPDX-License-Identifier: Apache-2.0
#include "data/data_config.h"

namespace vrwkv::data {
namespace {

bool chosen(TomlReader& table, const char* key, const char* usual, const char* other, bool by_default) {
  return table.one_of(key, {usual, other}, by_default ? other : usual) == other;
}

/// The tables [[data.source]], or `file` and `image_folder` as the only source.
std::vector<DataSource> read_sources(TomlReader& table, const std::vector<DataSource>& defaults) {
  constexpr double kMostWeight = 1000;
  const DataSource fallback = defaults.empty() ? DataSource{} : defaults.front();
  std::vector<TomlReader> entries = table.tables("source");
  if (!table.has("source")) {
    DataSource only = fallback;
    only.file = table.path("file", fallback.file.empty() ? std::nullopt : std::optional(fallback.file));
    only.image_folder = table.paths("image_folder", fallback.image_folder);
    return {only};
  }
  if (table.has("file"))
    table.fail("file", "stands beside [[data.source]] (which is read?). Name it in a source.");
  const ImagePlaces image_folder = table.paths("image_folder", fallback.image_folder);
  std::vector<DataSource> sources;
  for (TomlReader& entry : entries) {
    DataSource source;
    source.file = entry.path("file");
    source.image_folder = entry.paths("image_folder", image_folder);
    source.weight = entry.number("weight", 1e-6, kMostWeight, source.weight);
    entry.reject_unknown_keys();
    sources.push_back(std::move(source));
  }
  if (sources.empty()) table.fail("source", "is empty (there is nothing to train on).");
  return sources;
}

BadSamplePolicy policy_of(const std::string& name) {
  if (name == "stop") return BadSamplePolicy::kStop;
  return name == "skip" ? BadSamplePolicy::kSkip : BadSamplePolicy::kReplace;
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
  const bool pad = chosen(table, "resize_mode", "squash", "pad", images.resize_mode == ResizeMode::kPad);
  images.resize_mode = pad ? ResizeMode::kPad : ResizeMode::kSquash;
  images.resize_order = pillow13 ? ResizeOrder::kPillow13 : ResizeOrder::kHorizontalFirst;
}

std::vector<ImagePlaces> DataConfig::image_folders() const {
  std::vector<ImagePlaces> folders;
  for (const DataSource& source : sources) folders.push_back(source.image_folder);
  return folders;
}

DataConfig read_data_config(TomlReader table, const DataConfig& defaults) {
  constexpr std::int64_t kMostTokens = 1 << 24;
  constexpr std::int64_t kMostSamples = std::int64_t{1} << 40;
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
  constexpr std::int64_t kMostThreads = 256;
  DataConfig config = defaults;
  config.sources = read_sources(table, defaults.sources);
  config.vocabulary = table.path("vocabulary", config.vocabulary);
  config.eval_file = table.path("eval_file", config.eval_file);
  config.eval_image_folder = table.paths("eval_image_folder", config.sources.front().image_folder);
  config.image_cache = table.path("image_cache", config.image_cache);
  config.image_cache_gb = table.number("image_cache_gb", 1e-3, 1e6, config.image_cache_gb);
  config.context_length = table.integer("context_length", 1, kMostTokens, config.context_length);
  config.on_bad_sample = policy_of(table.one_of("on_bad_sample", {"replace", "stop", "skip"}, "replace"));
  config.max_bad_samples = table.integer("max_bad_samples", 0, kMostSamples, config.max_bad_samples);
  config.quarantine = table.path("quarantine", config.quarantine);
  config.threads = table.integer("threads", 0, kMostThreads, config.threads);
  config.prefetch_bytes = table.integer("prefetch_bytes", 0, kMostBytes, config.prefetch_bytes);
  const bool cubes =
      chosen(table, "order", "bijection", "visualrwkv", defaults.order == SampleOrder::kVisualRwkv);
  config.order = cubes ? SampleOrder::kVisualRwkv : SampleOrder::kBijection;
  read_sample_rules(table, config);
  config.feature_type = table.one_of("feature_type", {"none", "fp32", "bf16", "fp8"}, config.feature_type);
  config.features = table.path("features", config.features);
  if (config.feature_type != "none" && config.features.empty())
    table.fail("features", "is empty, but feature_type is set. Name the folder that `data features` filled.");
  table.reject_unknown_keys();
  return config;
}

}  // namespace vrwkv::data
