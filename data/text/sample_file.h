// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "common/mapped_file.h"
#include "data/text/record.h"

namespace vrwkv::data {

/// Maps a data file. @throws DataError "file: cannot be opened (reason). Check [data] file."
MappedFile map_data_file(const std::filesystem::path& path);

/// A LLaVA data file: one JSON array of records. The file stays mapped and each sample is parsed when it is
/// asked for, so that a process holds an index and no text. Threads may share it. The file must not shrink
/// while it is open.
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
