// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "data/check/check_chunk.h"
#include "data/index/mixture.h"

namespace vrwkv::data {

/// Which chunks of a check are done, kept in a folder so that a check that was interrupted goes on, on any
/// number of ranks: one file a rank, `done-NNNN.jsonl`, a line a chunk. Other files of the folder are
/// left alone. A line that is torn, and every line that was written for other data or another way to see it,
/// does not count.
class CheckJournal {
 public:
  /// Reads what all ranks wrote so far. @throws IoError.
  CheckJournal(std::filesystem::path folder, const Mixture& mixture, const ImageOptions& options);

  const std::map<std::int64_t, ChunkFindings>& done() const { return done_; }
  /// Appends to the file of `rank`, by one write. @throws IoError.
  void append(int rank, std::int64_t chunk, const ChunkFindings& findings) const;
  /// Removes the files: the check is over. One rank does it.
  void remove() const;

 private:
  void read(const std::filesystem::path& file);

  std::filesystem::path folder_;
  std::string key_;  ///< of the data and the way to see it
  std::map<std::int64_t, ChunkFindings> done_;
};

}  // namespace vrwkv::data
