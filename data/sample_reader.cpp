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

SampleReader::SampleReader(const Tokenizer& tokenizer, std::filesystem::path image_folder,
                           SampleReaderOptions options)
    : tokenizer_(tokenizer), image_folder_(std::move(image_folder)), options_(std::move(options)) {}

Sample SampleReader::read(const Record& record) const {
  Sample sample = named_after(record);
  sample.tokens = encode(record);
  read_images(record, sample);
  return sample;
}

Sample SampleReader::read_for_training(const Record& record, std::int64_t context_length) const {
  Sample sample = named_after(record);
  try {
    sample.tokens = encode(record);
    const std::string defect =
        training_defect(sample.tokens, context_length, options_.tokens_per_image, options_.conversation);
    if (!defect.empty()) throw DataError("{}: {}", describe(record), defect);
    sample.was_cut = cut_to_context(sample.tokens, context_length);
    read_images(record, sample);
  } catch (const DataError& error) {
    sample.pixels.clear();
    sample.bad = error.what();
  }
  return sample;
}

Encoded SampleReader::encode(const Record& record) const {
  if (options_.image_sizes.empty() && !record.images.empty())
    throw DataError(
        "{}: has an image, but the model has no vision encoder. Drop the sample or use another model.",
        describe(record));
  return encode_conversation(record, tokenizer_, options_.tokens_per_image, options_.conversation);
}

void SampleReader::read_images(const Record& record, Sample& sample) const {
  // A cut may have removed the last images: they are not read.
  for (std::size_t image = 0; image < sample.tokens.image_starts.size(); ++image) {
    try {
      const Image decoded = decode_image(image_folder_ / record.images[image], options_.images);
      for (const std::int64_t size : options_.image_sizes)
        sample.pixels[size].push_back(resize_to_square(decoded, size, options_.images.resize_order));
    } catch (const DataError& error) {
      throw DataError("{}: {}", describe(record), error.what());
    }
  }
}

}  // namespace vrwkv::data
