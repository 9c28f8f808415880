// SPDX-License-Identifier: Apache-2.0
#include "data/index/index_writer.h"

#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/mapped_file.h"
#include "common/random.h"
#include "data/index/index_format.h"
#include "data/text/json_array.h"
#include "data/text/sample_file.h"

namespace vrwkv::data {
namespace {

using index_format::Entry;
using index_format::Header;
using index_format::ImageMark;

/// Numbers distinct texts in the order in which they come up.
class TextTable {
 public:
  std::uint32_t number_of(const std::string& text) {
    const auto [place, is_new] = numbers_.try_emplace(text, static_cast<std::uint32_t>(numbers_.size()));
    if (is_new) {
      texts_ += text;
      ends_.push_back(texts_.size());
    }
    return place->second;
  }
  const std::vector<std::uint64_t>& ends() const { return ends_; }
  const std::string& texts() const { return texts_; }

 private:
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::vector<std::uint64_t> ends_;
  std::string texts_;
};

/// Hashes lengths and bytes, so that no two lists of texts run into each other.
class Fingerprint {
 public:
  void add(std::string_view text) {
    hash_ = mix64(hash_ ^ text.size()) + kStep;
    for (; text.size() >= sizeof(std::uint64_t); text.remove_prefix(sizeof(std::uint64_t))) add_word(text);
    add_word(text);
  }
  std::uint64_t value() const { return hash_; }

 private:
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ULL;
  void add_word(std::string_view text) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), std::min(sizeof(word), text.size()));
    hash_ = mix64(hash_ ^ word) + kStep;
  }
  std::uint64_t hash_ = kStep;
};

std::uint64_t fingerprint_of(const Record& record) {
  Fingerprint fingerprint;
  for (const std::string& image : record.images) fingerprint.add(image);
  for (const Turn& turn : record.turns) {
    fingerprint.add(turn.from);
    fingerprint.add(turn.value);
  }
  return fingerprint.value();
}

/// Collects the facts of one sample after the other.
class IndexBuilder {
 public:
  IndexBuilder(const Tokenizer& tokenizer, ConversationRules rules) : tokenizer_(tokenizer), rules_(rules) {}

  std::int64_t samples() const { return static_cast<std::int64_t>(entries_.size()); }

  void add(const Record& record, std::uint64_t begin, std::size_t bytes) {
    Entry entry;
    entry.begin = begin;
    entry.bytes = static_cast<std::uint32_t>(bytes);
    entry.line = static_cast<std::uint64_t>(record.line);
    entry.fingerprint = fingerprint_of(record);
    entry.first_mark = static_cast<std::uint32_t>(marks_.size());
    try {
      add_shape(entry, shape_of(encode_conversation(record, tokenizer_, /*tokens_per_image=*/0, rules_), 0),
                record);
    } catch (const DataError& error) {
      const std::string message = error.what();
      entry.message = messages_.number_of(message.substr(describe(record).size() + 2));
    }
    entries_.push_back(entry);
  }

  std::string finish(const IndexOrigin& origin, std::uint32_t source_checksum) const {
    Header header;
    header.rules = static_cast<std::uint32_t>(origin.rules);
    header.source_bytes = origin.bytes;
    header.source_time_ns = origin.time_ns;
    header.source_checksum = source_checksum;
    header.vocabulary = origin.vocabulary;
    header.samples = entries_.size();
    header.marks = marks_.size();
    header.images = images_.ends().size();
    header.messages = messages_.ends().size();
    header.text_bytes = images_.texts().size() + messages_.texts().size();
    std::string bytes;
    bytes.reserve(sizeof(Header) + entries_.size() * sizeof(Entry) + marks_.size() * sizeof(ImageMark) +
                  (header.images + header.messages) * sizeof(std::uint64_t) + header.text_bytes);
    append(bytes, &header, 1);
    append(bytes, entries_.data(), entries_.size());
    append(bytes, marks_.data(), marks_.size());
    append(bytes, images_.ends().data(), images_.ends().size());
    for (const std::uint64_t end : messages_.ends()) {
      const std::uint64_t moved = images_.texts().size() + end;
      append(bytes, &moved, 1);
    }
    bytes += images_.texts();
    bytes += messages_.texts();
    const std::uint32_t checksum =
        crc32c(bytes.data() + index_format::kChecksumBegin, bytes.size() - index_format::kChecksumBegin);
    std::memcpy(bytes.data() + offsetof(Header, checksum), &checksum, sizeof(checksum));
    return bytes;
  }

 private:
  template <class Value>
  static void append(std::string& bytes, const Value* values, std::size_t count) {
    bytes.append(reinterpret_cast<const char*>(values), count * sizeof(Value));
  }

  void add_shape(Entry& entry, const ConversationShape& shape, const Record& record) {
    entry.text_tokens = static_cast<std::uint32_t>(shape.text_tokens);
    entry.targets = static_cast<std::uint32_t>(shape.targets);
    if (shape.first_target) entry.first_target = static_cast<std::uint32_t>(*shape.first_target);
    entry.empty_answers = static_cast<std::uint32_t>(shape.empty_answers);
    entry.marks = static_cast<std::uint32_t>(record.images.size());
    for (std::size_t image = 0; image < record.images.size(); ++image)
      marks_.push_back({images_.number_of(record.images[image]),
                        static_cast<std::uint32_t>(shape.text_before_image[image])});
  }

  const Tokenizer& tokenizer_;
  const ConversationRules rules_;
  std::vector<Entry> entries_;
  std::vector<ImageMark> marks_;
  TextTable images_;
  TextTable messages_;
};

/// Follows a mapped file from its begin: what was read is checksummed and no longer held.
class ReadMarker {
 public:
  explicit ReadMarker(const MappedFile& file) : file_(file) {}

  void advance(std::size_t position) {
    if (position - position_ >= kPiece) take(position);
  }
  std::uint32_t finish() {
    take(file_.content().size());
    return checksum_;
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{8} << 20;
  void take(std::size_t end) {
    checksum_ = crc32c(file_.content().data() + position_, end - position_, checksum_);
    file_.drop(position_, end - position_);
    position_ = end;
  }
  const MappedFile& file_;
  std::size_t position_ = 0;
  std::uint32_t checksum_ = 0;
};

std::optional<SampleIndex> open_if_fresh(const std::filesystem::path& path, const IndexOrigin& origin) {
  if (std::error_code failure; !std::filesystem::exists(path, failure)) return {};
  try {
    SampleIndex index = SampleIndex::open(path);
    if (index.origin() == origin) return index;
    log::information("{}: is of another data file, vocabulary or conversation rule; it is made again",
                     path.string());
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
  return {};
}

/// Several runs may index files of the same name in one folder.
std::filesystem::path index_in(const std::filesystem::path& folder, const std::filesystem::path& data_file) {
  const std::string whole = std::filesystem::absolute(data_file).lexically_normal().string();
  return folder /
         fmt::format("{}-{:08x}.index", data_file.filename().string(), crc32c(whole.data(), whole.size()));
}

}  // namespace

std::filesystem::path index_beside(const std::filesystem::path& data_file) {
  return data_file.string() + ".index";
}

std::string make_index(const std::filesystem::path& data_file, const Tokenizer& tokenizer,
                       ConversationRules rules) {
  const IndexOrigin origin = IndexOrigin::of(data_file, tokenizer, rules);
  const MappedFile file = map_data_file(data_file);
  const std::string_view content = file.content();
  JsonArrayScanner scanner(content, data_file.string());
  IndexBuilder builder(tokenizer, rules);
  ReadMarker read(file);
  while (const auto element = scanner.next()) {
    const auto begin = static_cast<std::size_t>(element->text.data() - content.data());
    builder.add(parse_record(element->text, data_file.string(), element->line, builder.samples()), begin,
                element->text.size());
    read.advance(begin + element->text.size());
  }
  if (builder.samples() == 0) throw DataError("{}: holds no samples. Check [data] file.", data_file.string());
  return builder.finish(origin, read.finish());
}

SampleIndex open_or_make_index(const std::filesystem::path& data_file, const Tokenizer& tokenizer,
                               ConversationRules rules, const std::filesystem::path& fallback_folder) {
  const IndexOrigin origin = IndexOrigin::of(data_file, tokenizer, rules);
  const std::filesystem::path beside = index_beside(data_file);
  if (auto index = open_if_fresh(beside, origin)) return std::move(*index);
  const std::filesystem::path fallback =
      fallback_folder.empty() ? std::filesystem::path() : index_in(fallback_folder, data_file);
  if (!fallback.empty())
    if (auto index = open_if_fresh(fallback, origin)) return std::move(*index);
  log::information("{}: making its index", data_file.string());
  const std::string bytes = make_index(data_file, tokenizer, rules);
  try {
    write_file_atomically(beside, bytes);
    return SampleIndex::open(beside);
  } catch (const IoError& error) {
    if (fallback.empty()) throw;
    log::information("{}; the index goes to {}", error.what(), fallback.string());
  }
  vrwkv::create_directories(fallback_folder);
  write_file_atomically(fallback, bytes);
  return SampleIndex::open(fallback);
}

}  // namespace vrwkv::data
