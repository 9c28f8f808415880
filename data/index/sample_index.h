// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/mapped_file.h"
#include "data/text/conversation.h"
#include "data/text/tokenizer.h"

namespace vrwkv::data {

namespace index_format {
struct Entry;
}

/// What an index was made from. It is stale when any of these differs from what it should be.
struct IndexOrigin {
  std::uint64_t bytes = 0;       ///< of the data file
  std::int64_t time_ns = 0;      ///< when it was last written
  std::uint32_t vocabulary = 0;  ///< Tokenizer::fingerprint()
  ConversationRules rules = ConversationRules::kStrict;
  bool operator==(const IndexOrigin&) const = default;

  /// @throws DataError when the data file is not there.
  static IndexOrigin of(const std::filesystem::path& data_file, const Tokenizer& tokenizer,
                        ConversationRules rules);
};

/// What is known about each sample of a data file without reading it: a mapped file that all processes of a
/// machine share, so that opening it takes milliseconds. Threads may share it. Counts do not depend on
/// tokens_per_image or context_length.
class SampleIndex {
 public:
  /// Reads the whole file once.
  /// @throws IoError when it cannot be opened.  @throws DataError "file: ..." when its bytes are not an index
  /// or were changed.
  static SampleIndex open(const std::filesystem::path& path);
  /// The same of bytes in memory, which must outlive it; `name` stands in for the file.
  static SampleIndex parse(std::string_view bytes, std::string name);

  /// Of the file; of bytes in memory their name.
  std::filesystem::path path() const { return name_; }
  const IndexOrigin& origin() const { return origin_; }
  /// CRC-32C of the data file.
  std::uint32_t source_checksum() const { return source_checksum_; }
  std::int64_t size() const { return samples_; }

  struct Place {
    std::uint64_t begin = 0, bytes = 0;  ///< of the sample's text in the data file
    std::int64_t line = 0;               ///< where it begins, from 1
  };
  // Of sample i in [0, size()). All throw DataError when a hostile index says what cannot be.
  Place place(std::int64_t sample) const;
  /// Of a sample that cannot be rendered: nothing.
  ConversationShape shape(std::int64_t sample) const;
  /// Numbers of its images among distinct_images().
  std::vector<std::int64_t> images(std::int64_t sample) const;
  /// Why it cannot be rendered: what encode_conversation() says behind "file: sample 'id': "; empty when it
  /// can.
  std::string_view render_defect(std::int64_t sample) const;
  /// Equal for samples with the same images and turns, whatever their id.
  std::uint64_t fingerprint(std::int64_t sample) const;

  std::int64_t distinct_images() const { return images_; }
  /// The path of one of them, as the data file has it.
  std::string_view image_path(std::int64_t image) const;

 private:
  SampleIndex(std::string_view bytes, std::string name);
  template <class Value>
  Value load(std::uint64_t position) const;
  index_format::Entry entry(std::int64_t sample) const;
  std::string_view text(std::int64_t number) const;
  [[noreturn]] void fail(const std::string& message) const;

  std::optional<MappedFile> file_;
  std::string_view bytes_;
  std::string name_;
  IndexOrigin origin_;
  std::uint32_t source_checksum_ = 0;
  std::int64_t samples_ = 0, marks_ = 0, images_ = 0, messages_ = 0;
  std::uint64_t marks_begin_ = 0, ends_begin_ = 0, texts_begin_ = 0;
};

}  // namespace vrwkv::data
