// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "common/hdf5/file.h"
#include "sharding/flat_parameters.h"
#include "sharding/sharded_adamw.h"
#include "trainer/checkpoint/manifest.h"

/// The files that hold a shard each, and which parts of them belong to which parts of a flat order.
namespace vrwkv::checkpoint {

inline constexpr const char* kMasterDataset = "/master";
inline constexpr const char* kExpAvgDataset = "/exp_avg";
inline constexpr const char* kExpAvgSqDataset = "/exp_avg_sq";

/// Writes this rank's shard into `folder` and waits until it is on the disk. @throws IoError.
FileEntry write_shard(const std::filesystem::path& folder, std::int64_t step,
                      const sharding::ShardedAdamw& optimizer);

/// `elements` of shard file `file` (an index into Manifest::shards()) from `source_begin` go to
/// `target_begin`.
struct Transfer {
  std::size_t file = 0;
  std::int64_t source_begin = 0;
  std::int64_t target_begin = 0;
  std::int64_t elements = 0;
  bool operator==(const Transfer&) const = default;
};

/// Where elements [begin, end) of the checkpoint's flat order lie; targets count from `target_begin` on.
std::vector<Transfer> find_flat_range(const std::vector<FileEntry>& shards, std::int64_t begin,
                                      std::int64_t end, std::int64_t target_begin);

/// What elements [begin, end) of the flat order of `parameters` are made from; targets count from `begin` on.
/// Padding comes from nowhere. Every parameter is in the manifest.
std::vector<Transfer> plan_transfers(const Manifest& manifest,
                                     const std::vector<sharding::FlatParameter>& parameters,
                                     std::int64_t begin, std::int64_t end);

/// The shard files of a checkpoint, each opened when first needed.
class ShardFiles {
 public:
  ShardFiles(std::filesystem::path checkpoint, const Manifest& manifest);
  /// Fills the targets of all transfers from one dataset. @throws IoError.
  void read(const char* dataset, const std::vector<Transfer>& transfers, std::span<float> target);

 private:
  std::filesystem::path checkpoint_;
  std::vector<FileEntry> entries_;
  std::vector<std::optional<hdf5::File>> files_;
};

}  // namespace vrwkv::checkpoint
