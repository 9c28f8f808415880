// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

#include "common/toml_reader.h"
#include "data/sample_reader.h"
#include "data/sampler.h"

namespace vrwkv::data {

/// What training does with a sample it cannot use (unreadable image, wrong number of marks, nothing to
/// learn).
enum class BadSamplePolicy {
  kStop,  ///< ends the run, naming the sample
  kSkip,  ///< counts and names it; it contributes nothing to the step
};

/// The table [data].
struct DataConfig {
  std::filesystem::path file;               ///< JSON array of samples
  std::filesystem::path image_folder;       ///< image paths are relative to it; "" when there are none
  std::filesystem::path vocabulary;         ///< "": the one beside the program, which the caller looks up
  std::filesystem::path eval_file;          ///< "": none
  std::filesystem::path eval_image_folder;  ///< default: image_folder
  std::int64_t context_length = 2048;       ///< tokens; longer samples lose their end
  BadSamplePolicy on_bad_sample = BadSamplePolicy::kStop;
  std::int64_t max_bad_samples = 0;  ///< with kSkip: more than so many end the run; 0: no limit
  SampleOrder order = SampleOrder::kBijection;
  ConversationRules conversation = ConversationRules::kStrict;
  ImageOptions images;

  /// How samples are read for a model that wants these images.
  SampleReaderOptions reader_options(std::vector<std::int64_t> image_sizes,
                                     std::int64_t tokens_per_image) const {
    return {std::move(image_sizes), tokens_per_image, conversation, images};
  }
};

/// @param defaults  the values of keys that the table leaves out; without a file there, `file` is required.
/// @throws ConfigError on unknown, missing or mistyped keys. Opens no file.
DataConfig read_data_config(TomlReader table, const DataConfig& defaults = {});

/// The keys of [data] that say how a sample is read, whichever file it is from: conversation,
/// truncated_images, resize_order. What `config` holds are their defaults.
void read_sample_rules(TomlReader& table, DataConfig& config);

}  // namespace vrwkv::data
