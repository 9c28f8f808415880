// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace vrwkv::checkpoint {

inline constexpr std::int64_t kFormatVersion = 1;

/// Where a run stands after a completed step.
struct TrainingState {
  std::int64_t step = 0;
  std::int64_t data_position = 0;       ///< samples taken from the order so far
  std::int64_t metrics_rows = 0;        ///< rows of metrics.jsonl that belong to this state
  std::int64_t bad_samples = 0;         ///< skipped since the run began, over all ranks
  std::uint32_t quarantine_crc32c = 0;  ///< of the records that [data] quarantine left out
  std::string config_toml;              ///< the resolved configuration
};

/// One tensor of the model.
struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t numel = 0;
  bool trainable = false;
  std::int64_t offset = 0;  ///< trainable: first element in the flat order; frozen: 0

  /// What the checkpoint holds of it: a trainable tensor comes with its two moments.
  std::int64_t bytes() const noexcept { return numel * 4 * (trainable ? 3 : 1); }
  bool operator==(const TensorEntry&) const = default;
};

/// One file of the checkpoint as it was at the commit.
struct FileEntry {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint32_t crc32c = 0;
  std::int64_t shard = -1;  ///< the rank that wrote this shard, or -1
  std::int64_t begin = 0;   ///< a shard's elements of the flat order: [begin, end)
  std::int64_t end = 0;
  bool operator==(const FileEntry&) const = default;
};

/// What manifest.json says (docs/checkpoint_format.md).
struct Manifest {
  std::int64_t format_version = kFormatVersion;
  std::string program_version;
  TrainingState state;
  int world_size = 1;                ///< ranks that wrote it
  std::uint32_t frozen_crc32c = 0;   ///< of the frozen tensors' names, shapes and values
  std::vector<TensorEntry> tensors;  ///< trainable ones in flat order, then frozen ones
  std::vector<FileEntry> files;      ///< shards ascending, then frozen.h5 (if any tensor is), index.h5

  std::vector<FileEntry> shards() const;
  const FileEntry* find_file(std::string_view name) const noexcept;
  std::uint64_t bytes() const noexcept;  ///< of all files but the manifest
};

/// The text of manifest.json; its last line carries the checksum of everything before it.
std::string to_json(const Manifest& manifest);
/// @throws CheckpointError "what is wrong" (the caller says where) when any byte changed, or the format is
/// not ours.
Manifest parse_manifest(std::string_view text);

}  // namespace vrwkv::checkpoint
