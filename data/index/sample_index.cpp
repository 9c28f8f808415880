// SPDX-License-Identifier: Apache-2.0
#include "data/index/sample_index.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "data/index/index_format.h"

namespace vrwkv::data {
namespace {

/// The end of `count` elements of `size` bytes that begin at `begin`, or nothing beyond `most`.
std::optional<std::uint64_t> end_of(std::uint64_t begin, std::uint64_t count, std::uint64_t size,
                                    std::uint64_t most) {
  if (begin > most || count > (most - begin) / size) return {};
  return begin + count * size;
}

}  // namespace

IndexOrigin IndexOrigin::of(const std::filesystem::path& data_file, const Tokenizer& tokenizer,
                            ConversationRules rules) {
  struct stat status {};
  if (::stat(data_file.c_str(), &status) != 0)
    throw DataError("{}: cannot be opened ({}). Check [data] file.", data_file.string(),
                    std::strerror(errno));
  return {static_cast<std::uint64_t>(status.st_size), modification_time_ns(status), tokenizer.fingerprint(),
          rules};
}

SampleIndex SampleIndex::open(const std::filesystem::path& path) {
  MappedFile file(path);
  SampleIndex index(file.content(), path.string());
  index.file_ = std::move(file);  // the mapping stays where it is
  return index;
}

SampleIndex SampleIndex::parse(std::string_view bytes, std::string name) { return {bytes, std::move(name)}; }

SampleIndex::SampleIndex(std::string_view bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {
  using namespace index_format;
  Header header;
  if (bytes.size() < sizeof(Header)) fail("it is too short to be one.");
  header = load<Header>(0);
  if (header.magic != kMagic) fail("it does not begin as one of this version and machine does.");
  if (crc32c(bytes.data() + kChecksumBegin, bytes.size() - kChecksumBegin) != header.checksum)
    fail("its checksum differs.");
  const std::uint64_t size = bytes.size();
  const auto marks_begin = end_of(sizeof(Header), header.samples, sizeof(Entry), size);
  const auto ends_begin = end_of(marks_begin.value_or(size + 1), header.marks, sizeof(ImageMark), size);
  const auto messages_begin =
      end_of(ends_begin.value_or(size + 1), header.images, sizeof(std::uint64_t), size);
  const auto texts_begin =
      end_of(messages_begin.value_or(size + 1), header.messages, sizeof(std::uint64_t), size);
  if (!texts_begin || header.text_bytes != size - *texts_begin || header.rules > 1)
    fail("its numbers do not fit its size.");
  origin_ = {header.source_bytes, header.source_time_ns, header.vocabulary,
             static_cast<ConversationRules>(header.rules)};
  source_checksum_ = header.source_checksum;
  samples_ = static_cast<std::int64_t>(header.samples);
  marks_ = static_cast<std::int64_t>(header.marks);
  images_ = static_cast<std::int64_t>(header.images);
  messages_ = static_cast<std::int64_t>(header.messages);
  marks_begin_ = *marks_begin;
  ends_begin_ = *ends_begin;
  texts_begin_ = *texts_begin;
}

template <class Value>
Value SampleIndex::load(std::uint64_t position) const {
  Value value;
  std::memcpy(&value, bytes_.data() + position, sizeof(value));
  return value;
}

index_format::Entry SampleIndex::entry(std::int64_t sample) const {
  if (sample < 0 || sample >= samples_)
    throw ShapeError("{}: there is no sample {} among {}", name_, sample, samples_);
  const auto entry = load<index_format::Entry>(
      sizeof(index_format::Header) + static_cast<std::uint64_t>(sample) * sizeof(index_format::Entry));
  if (entry.marks > marks_ || entry.first_mark > marks_ - entry.marks || entry.bytes > origin_.bytes ||
      entry.begin > origin_.bytes - entry.bytes)
    fail(fmt::format("what it says about sample {} cannot be.", sample));
  return entry;
}

SampleIndex::Place SampleIndex::place(std::int64_t sample) const {
  const index_format::Entry found = entry(sample);
  return {found.begin, found.bytes, static_cast<std::int64_t>(found.line)};
}

ConversationShape SampleIndex::shape(std::int64_t sample) const {
  const index_format::Entry found = entry(sample);
  ConversationShape shape;
  shape.text_tokens = found.text_tokens;
  shape.targets = found.targets;
  if (found.first_target != index_format::kNone) shape.first_target = found.first_target;
  if ((found.targets > 0) != shape.first_target.has_value())
    fail(fmt::format("what it says about sample {} cannot be.", sample));
  shape.empty_answers = found.empty_answers;
  shape.text_before_image.reserve(found.marks);
  for (std::uint64_t i = found.first_mark; i < std::uint64_t{found.first_mark} + found.marks; ++i)
    shape.text_before_image.push_back(
        load<index_format::ImageMark>(marks_begin_ + i * sizeof(index_format::ImageMark)).text_before);
  return shape;
}

std::vector<std::int64_t> SampleIndex::images(std::int64_t sample) const {
  const index_format::Entry found = entry(sample);
  std::vector<std::int64_t> numbers;
  numbers.reserve(found.marks);
  for (std::uint64_t i = found.first_mark; i < std::uint64_t{found.first_mark} + found.marks; ++i)
    numbers.push_back(
        load<index_format::ImageMark>(marks_begin_ + i * sizeof(index_format::ImageMark)).image);
  return numbers;
}

std::string_view SampleIndex::render_defect(std::int64_t sample) const {
  const std::uint32_t message = entry(sample).message;
  if (message == index_format::kNone) return {};
  if (message >= messages_) fail(fmt::format("what it says about sample {} cannot be.", sample));
  return text(images_ + message);
}

std::uint64_t SampleIndex::fingerprint(std::int64_t sample) const { return entry(sample).fingerprint; }

std::string_view SampleIndex::image_path(std::int64_t image) const {
  if (image < 0 || image >= images_) fail(fmt::format("it has no image {}.", image));
  return text(image);
}

std::string_view SampleIndex::text(std::int64_t number) const {
  const auto end_at = [&](std::int64_t i) {
    return i < 0 ? 0
                 : load<std::uint64_t>(ends_begin_ + static_cast<std::uint64_t>(i) * sizeof(std::uint64_t));
  };
  const std::uint64_t begin = end_at(number - 1), end = end_at(number);
  if (begin > end || end > bytes_.size() - texts_begin_) fail(fmt::format("its text {} cannot be.", number));
  return bytes_.substr(texts_begin_ + begin, end - begin);
}

void SampleIndex::fail(const std::string& message) const {
  throw DataError("{}: not an index that can be used: {} Delete it: it is made again.", name_, message);
}

}  // namespace vrwkv::data
