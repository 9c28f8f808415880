// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/shard_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "common/crc32c.h"
#include "common/file_system.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace vrwkv::checkpoint {
namespace {

/// Joins a transfer to the one before it where both ends continue, so that equal layouts need one read a
/// file.
void append(std::vector<Transfer>& transfers, const Transfer& next) {
  if (!transfers.empty()) {
    Transfer& last = transfers.back();
    if (last.file == next.file && last.source_begin + last.elements == next.source_begin &&
        last.target_begin + last.elements == next.target_begin) {
      last.elements += next.elements;
      return;
    }
  }
  transfers.push_back(next);
}

}  // namespace

FileEntry write_shard(const std::filesystem::path& folder, std::int64_t step,
                      const sharding::ShardedAdamw& optimizer) {
  const int rank = optimizer.rank();
  FileEntry entry{.name = shard_file_name(rank),
                  .shard = rank,
                  .begin = optimizer.layout().shard_begin(rank),
                  .end = optimizer.layout().shard_end(rank)};
  const std::filesystem::path path = folder / entry.name;
  hdf5::File file = hdf5::File::create(path);
  const auto write = [&](const char* dataset, const at::Tensor& where) {
    const at::Tensor shard = where.cpu();
    file.write(dataset, std::span(shard.const_data_ptr<float>(), static_cast<std::size_t>(shard.numel())),
               {shard.numel()});
  };
  write(kMasterDataset, optimizer.master());
  write(kExpAvgDataset, optimizer.exp_avg());
  write(kExpAvgSqDataset, optimizer.exp_avg_sq());
  file.write_attribute("/", "begin", entry.begin);
  file.write_attribute("/", "end", entry.end);
  file.write_attribute("/", "world_size", std::int64_t{optimizer.layout().world_size()});
  file.write_attribute("/", "step", step);
  file.close();
  sync_to_disk(path);
  const FileChecksum checksum = checksum_file(path);
  entry.bytes = checksum.bytes;
  entry.crc32c = checksum.crc32c;
  return entry;
}

std::vector<Transfer> find_flat_range(const std::vector<FileEntry>& shards, std::int64_t begin,
                                      std::int64_t end, std::int64_t target_begin) {
  std::vector<Transfer> transfers;
  const auto first = std::partition_point(shards.begin(), shards.end(),
                                          [begin](const FileEntry& shard) { return shard.end <= begin; });
  for (auto shard = first; shard != shards.end() && shard->begin < end; ++shard) {
    const std::int64_t from = std::max(begin, shard->begin);
    const std::int64_t to = std::min(end, shard->end);
    if (from >= to) continue;
    transfers.push_back({.file = static_cast<std::size_t>(shard - shards.begin()),
                         .source_begin = from - shard->begin,
                         .target_begin = target_begin + from - begin,
                         .elements = to - from});
  }
  return transfers;
}

std::vector<Transfer> plan_transfers(const Manifest& manifest,
                                     const std::vector<sharding::FlatParameter>& parameters,
                                     std::int64_t begin, std::int64_t end) {
  std::unordered_map<std::string, std::int64_t> stored_offsets;
  for (const TensorEntry& tensor : manifest.tensors)
    if (tensor.trainable) stored_offsets.emplace(tensor.name, tensor.offset);
  const std::vector<FileEntry> shards = manifest.shards();
  std::vector<Transfer> transfers;
  for (const auto& parameter : parameters) {
    const std::int64_t from = std::max(begin, parameter.offset);
    const std::int64_t to = std::min(end, parameter.offset + parameter.numel);
    if (from >= to) continue;
    const std::int64_t stored = stored_offsets.at(parameter.name) + from - parameter.offset;
    for (const Transfer& transfer : find_flat_range(shards, stored, stored + to - from, from - begin))
      append(transfers, transfer);
  }
  return transfers;
}

ShardFiles::ShardFiles(std::filesystem::path checkpoint, const Manifest& manifest)
    : checkpoint_(std::move(checkpoint)), entries_(manifest.shards()), files_(entries_.size()) {}

void ShardFiles::read(const char* dataset, const std::vector<Transfer>& transfers, std::span<float> target) {
  for (const Transfer& transfer : transfers) {
    auto& file = files_.at(transfer.file);
    if (!file) file = hdf5::File::open(checkpoint_ / entries_[transfer.file].name);
    file->read_range(dataset, transfer.source_begin,
                     target.subspan(static_cast<std::size_t>(transfer.target_begin),
                                    static_cast<std::size_t>(transfer.elements)));
  }
}

}  // namespace vrwkv::checkpoint
