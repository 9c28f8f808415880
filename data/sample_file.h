// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/mapped_file.h"

namespace vrwkv::data {

struct Turn {
  std::string from;  ///< "human" or "gpt" in any case; judged when the conversation is encoded
  std::string value;
};

/// One element of a data file, as it was written.
struct Record {
  std::int64_t index = 0;  ///< position in the file, from 0
  std::int64_t line = 0;   ///< where it begins, from 1
  std::string file;        ///< for messages
  std::string id;          ///< `sample_id` or `id`; repeats in real data, so it names but does not identify
  std::vector<std::string> images;  ///< relative to the image folder
  bool has_image = false;           ///< the key is there: then `<image>` is a mark, else text
  std::vector<Turn> turns;
  std::string kind;   ///< optional, for evaluation: what the question is about
  double chance = 0;  ///< optional, for evaluation: how often a blind guess is right
};

/// A LLaVA data file: one JSON array of objects {id or sample_id, image?, conversations: [{from, value}]}.
/// Other keys are ignored. The file stays mapped and each sample is parsed when it is asked for, so that a
/// process holds an index and no text. Threads may share it. The file must not shrink while it is open.
class SampleFile {
 public:
  /// Reads the whole file once, so that nothing malformed is found in the middle of a run.
  /// @throws DataError "file: ..." when it cannot be opened, is empty or holds no samples; "file:line: ..."
  /// when it is
  ///         not one JSON array, or at the first sample with a missing key or a wrong type.
  static SampleFile open(const std::filesystem::path& path);

  std::int64_t size() const { return static_cast<std::int64_t>(elements_.size()); }
  /// @throws DataError when the file was changed into something malformed since it was opened.
  Record read(std::int64_t index) const;
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  struct Element {
    std::uint64_t begin, bytes;
    std::int64_t line;
  };
  explicit SampleFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  std::vector<Element> elements_;
};

}  // namespace vrwkv::data
