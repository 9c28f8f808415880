// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "common/file_system.h"
#include "data/ledger/ledger_entry.h"

/// ledger.bin: the 8 bytes "vrwkvlg1", then frames of the payload's length (4 bytes, little-endian) and its
/// CRC-32C (likewise), the CRC-32C of these 8 bytes, and the payload. The payload of the first frame is the
/// header's text, of every other one an encoded LedgerEntry, steps 1, 2, 3, ...
namespace vrwkv::data {

/// Reads a ledger from its beginning.
class LedgerReader {
 public:
  /// @throws DataError "file: ..." when it cannot be read or is no ledger.
  explicit LedgerReader(const std::filesystem::path& file);

  /// What the writer was given: the data order, for whoever computes it again.
  const std::string& header() const { return header_; }
  /// The next entry; none at the end, or where the file ends within a frame (see torn_bytes()).
  /// @throws DataError "file: entry n: ..." when bytes were changed.
  std::optional<LedgerEntry> next();

  /// Where the last frame that was read ends, in bytes from the beginning.
  std::uint64_t position() const { return position_; }
  /// After next() gave none: bytes of a frame that was not written to its end.
  std::uint64_t torn_bytes() const { return size_ - position_; }

 private:
  /// The payload of the next frame, if it is whole; `what` names it in messages.
  std::optional<std::string> next_frame(const std::string& what);

  std::filesystem::path file_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
  std::int64_t entries_ = 0;
  std::string header_;
};

/// Refuses a ledger that was begun with another header: a run would go on on other samples than it began
/// with.
/// @throws DataError then; CheckpointError when the file is damaged.
void require_header(const std::filesystem::path& file, const std::string& header);

/// Appends to a ledger.
class LedgerWriter {
 public:
  /// Opens the file, makes it when `steps` is 0, and cuts off what lies behind the first `steps` entries
  /// (steps that a checkpoint does not hold are computed again).
  /// @throws CheckpointError when it holds fewer entries or damaged ones; DataError as require_header();
  /// IoError.
  LedgerWriter(const std::filesystem::path& file, const std::string& header, std::int64_t steps);

  /// One write: a kill leaves the entry whole, torn at its end, or absent.
  /// @throws IoError when it does not reach the file (full disk).
  void append(const LedgerEntry& entry);

 private:
  std::filesystem::path file_;
  FileDescriptor descriptor_;
};

}  // namespace vrwkv::data
