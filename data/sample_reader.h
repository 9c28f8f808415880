// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "data/batch.h"
#include "data/image/image.h"
#include "data/image_features.h"
#include "data/storage/image_store.h"
#include "data/text/record.h"
#include "data/text/tokenizer.h"

namespace vrwkv::data {

/// How records become samples.
struct SampleReaderOptions {
  std::vector<std::int64_t> image_sizes;  ///< side lengths in pixels, distinct; empty without vision encoders
  std::int64_t tokens_per_image = 0;      ///< placeholders for each image
  std::shared_ptr<const ImageFeatures> features = {};  ///< read instead of the images, when given
  ConversationRules conversation = ConversationRules::kStrict;
  ImageOptions images;
  ImageCache cache;
};

/// Turns records into samples: renders and tokenizes the text, decodes the images once and resizes them to
/// every size in use, or reads their stored features. Immutable, so threads may share it; the tokenizer must
/// outlive it.
class SampleReader {
 public:
  /// @param image_folders  what open_image_store() takes, for each source; one for a file alone. They are
  /// opened
  ///                       when images are wanted.
  SampleReader(const Tokenizer& tokenizer, const std::vector<ImagePlaces>& image_folders,
               SampleReaderOptions options);

  /// The whole sample, whether or not there is anything to learn from it.
  /// @throws DataError "file: sample 'id': ..." when it cannot be rendered or an image cannot be read.
  Sample read(const Record& record) const;

  /// The sample cut to `context_length`. What read() would throw, and what training_defect() finds, becomes
  /// `Sample::bad`: this never throws a DataError.
  Sample read_for_training(const Record& record, std::int64_t context_length) const;

  const std::vector<std::int64_t>& image_sizes() const { return options_.image_sizes; }
  std::int64_t tokens_per_image() const { return options_.tokens_per_image; }
  /// Of the pixels, or stored features, of one image in a sample.
  std::int64_t bytes_per_image() const;
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  Encoded encode(const Record& record, std::int64_t tokens_per_image) const;
  void read_images(const Record& record, Sample& sample) const;

  const Tokenizer& tokenizer_;
  ImageStores images_;
  SampleReaderOptions options_;
};

}  // namespace vrwkv::data
