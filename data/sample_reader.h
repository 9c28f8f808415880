// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/batch.h"
#include "data/image/image.h"
#include "data/sample_file.h"
#include "data/tokenizer.h"

namespace vrwkv::data {

/// How records become samples.
struct SampleReaderOptions {
  std::vector<std::int64_t> image_sizes;  ///< side lengths in pixels, distinct; empty without vision encoders
  std::int64_t tokens_per_image = 0;      ///< placeholders for each image
  ConversationRules conversation = ConversationRules::kStrict;
  ImageOptions images;
};

/// Turns records into samples: renders and tokenizes the text, decodes the images once and resizes them to
/// every size in use. Immutable, so threads may share it; the tokenizer must outlive it.
class SampleReader {
 public:
  SampleReader(const Tokenizer& tokenizer, std::filesystem::path image_folder, SampleReaderOptions options);

  /// The whole sample, whether or not there is anything to learn from it.
  /// @throws DataError "file: sample 'id': ..." when it cannot be rendered or an image cannot be read.
  Sample read(const Record& record) const;

  /// The sample cut to `context_length`. What read() would throw, and what training_defect() finds, becomes
  /// `Sample::bad`: this never throws a DataError.
  Sample read_for_training(const Record& record, std::int64_t context_length) const;

  const std::vector<std::int64_t>& image_sizes() const { return options_.image_sizes; }
  std::int64_t tokens_per_image() const { return options_.tokens_per_image; }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  Encoded encode(const Record& record) const;
  void read_images(const Record& record, Sample& sample) const;

  const Tokenizer& tokenizer_;
  std::filesystem::path image_folder_;
  SampleReaderOptions options_;
};

}  // namespace vrwkv::data
