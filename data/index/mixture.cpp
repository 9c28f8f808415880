// SPDX-License-Identifier: Apache-2.0
#include "data/index/mixture.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "common/random.h"
#include "common/with_retries.h"
#include "data/index/index_writer.h"
#include "data/text/sample_file.h"

namespace vrwkv::data {
namespace {

/// What training_defect() and the model say; "" when there is nothing.
std::string text_defect(const ConversationShape& shape, const MixtureView& view) {
  if (!view.takes_images && !shape.text_before_image.empty()) return std::string(kImageWithoutEncoder);
  return training_defect(shape, view.context_length, view.tokens_per_image, view.conversation);
}

}  // namespace

Mixture::Mixture(const std::vector<DataSource>& sources, const Tokenizer& tokenizer, const MixtureView& view,
                 const std::filesystem::path& fallback_folder)
    : view_(view) {
  if (sources.empty()) throw ConfigError("mixture: no data file (there is nothing to train on)");
  std::int64_t first_record = 0;
  for (const DataSource& source : sources) {
    SampleIndex index = open_or_make_index(source.file, tokenizer, view.conversation, fallback_folder);
    const std::int64_t samples = index.size();
    const std::int64_t taken = std::llround(source.weight * static_cast<double>(samples));
    if (taken < 1)
      throw ConfigError(
          "{}: a weight of {} gives no sample of its {} to an epoch. Raise it or drop the source.",
          source.file.string(), source.weight, samples);
    parts_.push_back({source, std::move(index), open_to_read(source.file), first_record, taken});
    first_record += samples;
  }
}

const Mixture::Part& Mixture::part_of(std::int64_t record) const {
  if (record < 0 || record >= size())
    throw ShapeError("mixture: there is no record {} among {}", record, size());
  return *std::prev(std::upper_bound(parts_.begin(), parts_.end(), record, [](auto wanted, const Part& part) {
    return wanted < part.first_record;
  }));
}

SampleFacts Mixture::facts(std::int64_t record) const {
  const Part& part = part_of(record);
  const std::int64_t sample = record - part.first_record;
  const ConversationShape shape = part.index.shape(sample);
  SampleFacts facts;
  facts.tokens = std::min(view_.context_length, shape.tokens(view_.tokens_per_image));
  for (std::size_t image = 0; image < shape.text_before_image.size(); ++image)
    if (shape.image_start(image, view_.tokens_per_image) < view_.context_length) ++facts.images;
  facts.targets = shape.targets;
  facts.is_bad = !part.index.render_defect(sample).empty() || !text_defect(shape, view_).empty();
  return facts;
}

std::string Mixture::defect(std::int64_t record) const {
  const Part& part = part_of(record);
  const std::int64_t sample = record - part.first_record;
  std::string defect(part.index.render_defect(sample));
  if (defect.empty()) defect = text_defect(part.index.shape(sample), view_);
  return defect.empty() ? "" : fmt::format("{}: {}", describe(read(record)), defect);
}

Record Mixture::read(std::int64_t record) const {
  const Part& part = part_of(record);
  const SampleIndex::Place place = part.index.place(record - part.first_record);
  const std::filesystem::path& file = part.source.file;
  std::string text(place.bytes, '\0');
  if (with_retries([&] { return read_at(part.file, file, place.begin, text); }) != text.size())
    throw DataError("{}: is shorter than when it was opened. Start again.", file.string());
  Record read = parse_record(text, file.string(), place.line, record);
  read.source = &part - parts_.data();
  return read;
}

std::uint64_t Mixture::fingerprint() const {
  std::uint64_t hash = 0;
  for (const Part& part : parts_) {
    const IndexOrigin& origin = part.index.origin();
    for (const std::uint64_t fact :
         {origin.bytes, std::uint64_t{part.index.source_checksum()}, std::uint64_t{origin.vocabulary},
          static_cast<std::uint64_t>(origin.rules), std::bit_cast<std::uint64_t>(part.source.weight)})
      hash = mix64(hash + fact + 0x9e3779b97f4a7c15ULL);
  }
  return hash;
}

}  // namespace vrwkv::data
