// SPDX-License-Identifier: Apache-2.0
#include "data/sample_reader.h"

#include <utility>

#include "common/error.h"
#include "data/image/image.h"

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
                           std::vector<std::int64_t> image_sizes, std::int64_t tokens_per_image)
    : tokenizer_(tokenizer),
      image_folder_(std::move(image_folder)),
      image_sizes_(std::move(image_sizes)),
      tokens_per_image_(tokens_per_image) {}

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
    const std::string defect = training_defect(sample.tokens, context_length, tokens_per_image_);
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
  if (image_sizes_.empty() && !record.images.empty())
    throw DataError(
        "{}: has an image, but the model has no vision encoder. Drop the sample or use another model.",
        describe(record));
  return encode_conversation(record, tokenizer_, tokens_per_image_);
}

void SampleReader::read_images(const Record& record, Sample& sample) const {
  // A cut may have removed the last images: they are not read.
  for (std::size_t image = 0; image < sample.tokens.image_starts.size(); ++image) {
    try {
      const Image decoded = decode_image(image_folder_ / record.images[image]);
      for (const std::int64_t size : image_sizes_)
        sample.pixels[size].push_back(resize_to_square(decoded, size));
    } catch (const DataError& error) {
      throw DataError("{}: {}", describe(record), error.what());
    }
  }
}

}  // namespace vrwkv::data
