// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/toml_reader.h"
#include "data/index/mixture.h"
#include "data/sample_reader.h"
#include "data/sampler.h"

namespace vrwkv::data {

/// What training does with a sample it cannot use (unreadable image, wrong number of marks, nothing to
/// learn).
enum class BadSamplePolicy {
  kReplace,  ///< another sample takes its place (see Substitution)
  kStop,     ///< ends the run, naming the sample
  kSkip,     ///< it contributes nothing to the step
};

/// The table [data].
struct DataConfig {
  std::vector<DataSource> sources;     ///< `file` and `image_folder`, or the tables [[data.source]]
  std::filesystem::path vocabulary;    ///< "": the one beside the program, which the caller looks up
  std::filesystem::path eval_file;     ///< "": none
  ImagePlaces eval_image_folder;       ///< default: that of the first source
  std::int64_t context_length = 2048;  ///< tokens; longer samples lose their end
  BadSamplePolicy on_bad_sample = BadSamplePolicy::kReplace;
  std::int64_t max_bad_samples = 1000;  ///< replaced or skipped; more end the run; 0: no limit
  std::filesystem::path quarantine;     ///< list of samples that are replaced from the beginning; "": none
  std::int64_t threads = 0;             ///< that read samples, in each rank; 0: the cores that are left over
  std::int64_t prefetch_bytes = std::int64_t{1}
                                << 30;  ///< of samples that wait for the trainer, in each rank
  SampleOrder order = SampleOrder::kBijection;
  ConversationRules conversation = ConversationRules::kStrict;
  ImageOptions images;
  std::filesystem::path image_cache;  ///< "": none
  double image_cache_gb = 64;         ///< 10^9 bytes
  std::string feature_type = "none";  ///< fp32, bf16, fp8: frozen features are read in place of images
  std::filesystem::path features;     ///< their store; "" without

  ImageCache cache() const { return {image_cache, static_cast<std::uint64_t>(image_cache_gb * 1e9)}; }
  /// How samples are read for a model that wants these images, or is given their features.
  SampleReaderOptions reader_options(std::vector<std::int64_t> image_sizes, std::int64_t tokens_per_image,
                                     std::shared_ptr<const ImageFeatures> stored_features = {}) const {
    return {.image_sizes = std::move(image_sizes),
            .tokens_per_image = tokens_per_image,
            .features = std::move(stored_features),
            .conversation = conversation,
            .images = images,
            .cache = cache()};
  }
  /// How a model sees the samples. @param takes_images  false: one without vision encoders.
  MixtureView view(bool takes_images, std::int64_t tokens_per_image) const {
    return {context_length, tokens_per_image, takes_images, conversation};
  }
  /// The image folder of each source.
  std::vector<ImagePlaces> image_folders() const;
};

/// @param defaults  the values of keys that the table leaves out; without a source there, `file` or a table
///                  [[data.source]] is required.
/// @throws ConfigError on unknown, missing or mistyped keys. Opens no file.
DataConfig read_data_config(TomlReader table, const DataConfig& defaults = {});

/// The keys of [data] that say how a sample is read, whichever file it is from: conversation,
/// truncated_images, resize_mode, resize_order. What `config` holds are their defaults.
void read_sample_rules(TomlReader& table, DataConfig& config);

}  // namespace vrwkv::data
