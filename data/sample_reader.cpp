// SPDX-License-Identifier: Apache-2.0
#include "data/sample_reader.h"

#include <utility>

#include "common/error.h"

namespace vrwkv::data {
namespace {

Sample named_after(const Record& record) {
  Sample sample;
  sample.record = record.index;
  sample.id = record.id;
  return sample;
}

}  // namespace

SampleReader::SampleReader(const Tokenizer& tokenizer, const std::vector<ImagePlaces>& image_folders,
                           SampleReaderOptions options)
    : tokenizer_(tokenizer), options_(std::move(options)) {
  if (options_.image_sizes.empty()) return;
  require_image_folders(image_folders);
  images_ = open_image_stores(image_folders, options_.cache);
}

std::int64_t SampleReader::bytes_per_image() const {
  if (options_.features) return options_.features->bytes_per_image();
  std::int64_t bytes = 0;
  for (const std::int64_t size : options_.image_sizes) bytes += 3 * size * size;
  return bytes;
}

Sample SampleReader::read(const Record& record) const {
  Sample sample = named_after(record);
  sample.tokens = encode(record, options_.tokens_per_image);
  read_images(record, sample);
  return sample;
}

Sample SampleReader::read_for_training(const Record& record, std::int64_t context_length) const {
  Sample sample = named_after(record);
  try {
    const Encoded text = encode(record, 0);
    const std::string defect =
        training_defect(shape_of(text, 0), context_length, options_.tokens_per_image, options_.conversation);
    if (!defect.empty()) throw DataError("{}: {}", describe(record), defect);
    sample.tokens = expand_images(text, options_.tokens_per_image, context_length);
    sample.was_cut = cut_to_context(sample.tokens, context_length);
    read_images(record, sample);
  } catch (const DataError& error) {
    sample.pixels.clear();
    sample.features.clear();
    sample.bad = error.what();
  }
  return sample;
}

Encoded SampleReader::encode(const Record& record, std::int64_t tokens_per_image) const {
  if (options_.image_sizes.empty() && !options_.features && !record.images.empty())
    throw DataError("{}: {}", describe(record), kImageWithoutEncoder);
  return encode_conversation(record, tokenizer_, tokens_per_image, options_.conversation);
}

void SampleReader::read_images(const Record& record, Sample& sample) const {
  const auto source = static_cast<std::size_t>(record.source);
  // A cut may have removed the last images: they are not read.
  for (std::size_t image = 0; image < sample.tokens.image_starts.size(); ++image) {
    const std::string& name = record.images[image];
    try {
      if (options_.features) {
        sample.features.push_back(options_.features->read(source, name));
        continue;
      }
      const ImageStore& store = *images_[source];
      const Image decoded = decode_image(store.read(name), store.describe(name), options_.images);
      for (const std::int64_t size : options_.image_sizes)
        sample.pixels[size].push_back(resize_to_square(decoded, size, options_.images.resize_order));
    } catch (const DataError& error) {
      throw DataError("{}: {}", describe(record), error.what());
    }
  }
}

}  // namespace vrwkv::data
