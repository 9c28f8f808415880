// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "common/error.h"
#include "common/file_system.h"
#include "common/mpi/all_or_none.h"
#include "common/version.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/damage.h"
#include "trainer/checkpoint/frozen_file.h"
#include "trainer/checkpoint/index_file.h"
#include "trainer/checkpoint/shard_file.h"
#include "trainer/checkpoint/tensor_table.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;

/// What save() was asked to store.
struct Snapshot {
  const TrainingState& state;
  const sharding::FlatParameters& parameters;
  const sharding::ShardedAdamw& optimizer;
  const std::vector<NamedTensor>& frozen;
};

/// Makes the run's folder, cleared of what crashes left.
void prepare_folder(const fs::path& folder) {
  if (!fs::exists(folder)) {
    vrwkv::create_directories(folder);
    sync_to_disk(fs::absolute(folder / "..").lexically_normal());
  }
  remove_partial_folders(folder);
}

bool equals_stored(ShardFiles& files, const char* dataset, const std::vector<Transfer>& transfers,
                   const at::Tensor& where) {
  const at::Tensor shard = where.cpu();
  const at::Tensor stored = at::zeros_like(shard);
  files.read(dataset, transfers,
             std::span(stored.data_ptr<float>(), static_cast<std::size_t>(stored.numel())));
  // A rank may own nothing, and then has no memory to compare.
  return shard.numel() == 0 ||
         std::memcmp(stored.const_data_ptr(), shard.const_data_ptr(), shard.nbytes()) == 0;
}

/// Whether this rank's shard has the same bits in a sound checkpoint.
bool shard_equals_stored(const fs::path& checkpoint, const Manifest& manifest, const Snapshot& snapshot) {
  const auto& optimizer = snapshot.optimizer;
  const auto& layout = optimizer.layout();
  const auto transfers =
      plan_transfers(manifest, snapshot.parameters.entries(), layout.shard_begin(optimizer.rank()),
                     layout.shard_end(optimizer.rank()));
  ShardFiles files(checkpoint, manifest);
  return equals_stored(files, kMasterDataset, transfers, optimizer.master()) &&
         equals_stored(files, kExpAvgDataset, transfers, optimizer.exp_avg()) &&
         equals_stored(files, kExpAvgSqDataset, transfers, optimizer.exp_avg_sq());
}

/// Collective. The manifest of `checkpoint` when it is committed, sound, and holds what would be written now:
/// a run that was resumed from an earlier step comes by here again with the same bits.
std::optional<Manifest> find_same(const fs::path& checkpoint, const Snapshot& snapshot,
                                  const mpi::Communicator& comm) {
  if (comm.broadcast(comm.rank() == 0 && fs::is_directory(checkpoint) ? "there" : "", 0,
                     "look for a checkpoint")
          .empty())
    return {};
  Manifest manifest;
  if (find_damage_together(checkpoint, manifest, comm)) return {};
  const auto& stored = manifest.state;
  if (stored.data_position != snapshot.state.data_position ||
      stored.metrics_rows != snapshot.state.metrics_rows ||
      stored.bad_samples != snapshot.state.bad_samples ||
      manifest.tensors != tensor_table(snapshot.parameters, snapshot.frozen))
    return {};
  const bool differs = mpi::all_or_none(comm, "comparison with a checkpoint", [&] {
    return (comm.rank() == 0 && checksum_tensors(snapshot.frozen) != manifest.frozen_crc32c) ||
           !shard_equals_stored(checkpoint, manifest, snapshot);
  });
  if (comm.sum(differs ? 1 : 0, "comparison with a checkpoint") > 0) return {};
  return manifest;
}

/// Collective. What each rank knows of the file it wrote, on every rank.
std::vector<FileEntry> gather_entries(const FileEntry& mine, const mpi::Communicator& comm) {
  const std::string text = nlohmann::json({mine.bytes, mine.crc32c, mine.begin, mine.end}).dump();
  std::vector<FileEntry> entries;
  for (const std::string& part : comm.all_gather(text, "checksums of a checkpoint")) {
    const auto json = nlohmann::json::parse(part);
    const auto rank = static_cast<int>(entries.size());
    entries.push_back({.name = shard_file_name(rank),
                       .bytes = json.at(0),
                       .crc32c = json.at(1),
                       .shard = rank,
                       .begin = json.at(2),
                       .end = json.at(3)});
  }
  return entries;
}

/// What rank 0 adds to the shards of all ranks.
Manifest write_shared_files(const fs::path& folder, const Snapshot& snapshot, std::vector<FileEntry> shards) {
  const fs::path partial = partial_path(folder, snapshot.state.step);
  Manifest manifest{.program_version = kVersion,
                    .state = snapshot.state,
                    .world_size = static_cast<int>(shards.size()),
                    .frozen_crc32c = checksum_tensors(snapshot.frozen),
                    .tensors = tensor_table(snapshot.parameters, snapshot.frozen),
                    .files = std::move(shards)};
  if (!snapshot.frozen.empty())
    manifest.files.push_back(provide_frozen(folder, partial, manifest, snapshot.frozen));
  manifest.files.push_back(write_index(partial, manifest));
  write_file_atomically(partial / kManifestFile, to_json(manifest));
  return manifest;
}

}  // namespace

SaveReport save(const fs::path& folder, const TrainingState& state,
                const sharding::FlatParameters& parameters, const sharding::ShardedAdamw& optimizer,
                const std::vector<NamedTensor>& frozen, const mpi::Communicator& comm, int keep_last) {
  const auto start = std::chrono::steady_clock::now();
  const Snapshot snapshot{state, parameters, optimizer, frozen};
  SaveReport report{.path = folder / folder_name(state.step)};
  const auto finished = [&](std::uint64_t bytes) {
    report.bytes = bytes;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  };
  const bool leads = comm.rank() == 0;

  if (const auto same = find_same(report.path, snapshot, comm)) {
    report.was_there = true;
    return finished(same->bytes());
  }
  std::optional<PartialFolder> partial;  // on rank 0; removes the folder when any of the following throws
  mpi::all_or_none(comm, "start of a checkpoint", [&] {
    if (!leads) return;
    prepare_folder(folder);
    partial.emplace(folder, state.step);
  });
  const FileEntry mine = mpi::all_or_none(comm, "write of a checkpoint", [&] {
    return write_shard(partial_path(folder, state.step), state.step, optimizer);
  });
  std::vector<FileEntry> shards = gather_entries(mine, comm);
  const std::uint64_t bytes = mpi::all_or_none(comm, "commit of a checkpoint", [&] {
    if (!leads) return std::uint64_t{0};
    const Manifest manifest = write_shared_files(folder, snapshot, std::move(shards));
    partial->commit();
    remove_old_checkpoints(folder, keep_last, state.step);
    return manifest.bytes();
  });
  return finished(
      static_cast<std::uint64_t>(comm.sum(static_cast<std::int64_t>(bytes), "size of a checkpoint")));
}

}  // namespace vrwkv::checkpoint
