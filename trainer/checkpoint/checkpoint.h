// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/mpi/communicator.h"
#include "kernels/named_tensor.h"
#include "sharding/flat_parameters.h"
#include "sharding/sharded_adamw.h"
#include "trainer/checkpoint/manifest.h"

/// Checkpoints as folders `<run>/checkpoints/step-NNNNNNNN/`. A folder of that name is whole: it was written
/// under another name, synced, and renamed once. docs/checkpoint_format.md describes every file in it.
namespace vrwkv::checkpoint {

struct SaveReport {
  std::filesystem::path path;
  double seconds = 0;       ///< wall time of this rank in save()
  std::uint64_t bytes = 0;  ///< of the whole checkpoint, all ranks
  bool was_there = false;   ///< the same state was already committed; nothing was written
};

/// Collective. Writes the state after a completed step, commits it, then deletes all but the `keep_last`
/// newest checkpoints (never this one) and what crashes left behind. A checkpoint of the same step stays when
/// it is sound and holds the same bits, and is replaced otherwise.
/// @param folder     `<run>/checkpoints`; made when missing.
/// @param frozen     every tensor that does not train; equal on all ranks. Written once, then linked from the
/// newest
///                   checkpoint that has the same values.
/// @param keep_last  1 or more.
/// @throws IoError on a rank that cannot write (full disk), PeerError on the others; nothing is committed or
/// deleted
///         then, and the partial folder is removed.
SaveReport save(const std::filesystem::path& folder, const TrainingState& state,
                const sharding::FlatParameters& parameters, const sharding::ShardedAdamw& optimizer,
                const std::vector<NamedTensor>& frozen, const mpi::Communicator& comm, int keep_last);

/// All committed checkpoints in `folder`, oldest first; none when it does not exist.
std::vector<std::filesystem::path> list(const std::filesystem::path& folder);
/// The newest committed checkpoint in `folder`.
std::optional<std::filesystem::path> newest(const std::filesystem::path& folder);
/// The checkpoint a user means: a checkpoint itself, or the newest of a run directory or of its checkpoints
/// folder. Absolute, without a slash at its end.
/// @throws ConfigError when there is no such folder or no checkpoint in it.
/// @throws CheckpointError when it is a checkpoint that was never committed.
std::filesystem::path resolve(const std::filesystem::path& path);

/// What a checkpoint says it holds. Reads the manifest only; verify() checks the files too.
/// @throws CheckpointError when the manifest is missing or damaged.
Manifest describe(const std::filesystem::path& checkpoint);

/// Reads every byte: every file is there with its size and checksum, and every dataset has its place and
/// length.
/// @throws CheckpointError naming the first damage, and the newest older checkpoint that is sound.
Manifest verify(const std::filesystem::path& checkpoint);

/// Collective. Continues training from a checkpoint of any world size: fills the parameters, this rank's
/// shard of the optimizer, and the frozen tensors. The ranks share the checking of the files; of the shards a
/// rank reads its ranges.
/// @throws CheckpointError on every rank alike: a damaged file, or all tensors that are missing, surplus, of
/// another
///         shape or trainable on one side only, in one message. Nothing has changed then.
TrainingState load_training(const std::filesystem::path& checkpoint, sharding::FlatParameters& parameters,
                            sharding::ShardedAdamw& optimizer, const std::vector<NamedTensor>& frozen,
                            const mpi::Communicator& comm);

/// The parameters of a checkpoint, read in parts by one process.
class ParameterReader {
 public:
  /// Verifies the checkpoint first. @throws CheckpointError.
  explicit ParameterReader(const std::filesystem::path& checkpoint);
  ParameterReader(ParameterReader&&) noexcept;
  ParameterReader& operator=(ParameterReader&&) noexcept;
  ~ParameterReader();

  const Manifest& manifest() const;
  /// Rows [first, first + count) of dimension 0 of one of the manifest's tensors, fp32. @throws IoError.
  at::Tensor rows(const TensorEntry& tensor, std::int64_t first, std::int64_t count);

 private:
  struct Files;
  std::unique_ptr<Files> files_;
};

/// All parameters by state_dict name, fp32, for a single process. Verifies first.  @throws CheckpointError.
std::map<std::string, at::Tensor> load_parameters(const std::filesystem::path& checkpoint);

}  // namespace vrwkv::checkpoint
