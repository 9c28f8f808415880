// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/core.h>

#include <exception>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/hdf5/file.h"
#include "common/mpi/all_or_none.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/damage.h"
#include "trainer/checkpoint/frozen_file.h"
#include "trainer/checkpoint/shard_file.h"
#include "trainer/checkpoint/tensor_table.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;

std::span<float> elements(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

void read_frozen(const hdf5::File& file, const std::string& name, const at::Tensor& target) {
  std::vector<float> values = file.read_floats(frozen_dataset(name));
  target.copy_(at::from_blob(values.data(), target.sizes(), at::kFloat));
}

void read_shard(const fs::path& checkpoint, const Manifest& manifest,
                const sharding::FlatParameters& parameters, sharding::ShardedAdamw& optimizer) {
  const auto& layout = optimizer.layout();
  const auto transfers = plan_transfers(manifest, parameters.entries(), layout.shard_begin(optimizer.rank()),
                                        layout.shard_end(optimizer.rank()));
  ShardFiles files(checkpoint, manifest);
  const auto read = [&](const char* dataset, at::Tensor& shard) {
    const at::Tensor host = shard.cpu();  // the shard itself when it is there already
    files.read(dataset, transfers, elements(host));
    if (!host.is_same(shard)) shard.copy_(host);
  };
  read(kMasterDataset, optimizer.master());
  read(kExpAvgDataset, optimizer.exp_avg());
  read(kExpAvgSqDataset, optimizer.exp_avg_sq());
}

/// One rank has read the frozen tensors; the others get them over the network instead of each from the disk.
void share_frozen(const std::vector<NamedTensor>& frozen, const mpi::Communicator& comm) {
  if (comm.size() == 1) return;
  for (const auto& [name, tensor] : frozen) {
    const at::Tensor values = tensor.cpu().contiguous();
    comm.broadcast(std::as_writable_bytes(elements(values)), 0, "frozen tensors");
    if (!values.is_same(tensor)) tensor.copy_(values);
  }
}

}  // namespace

TrainingState load_training(const fs::path& checkpoint, sharding::FlatParameters& parameters,
                            sharding::ShardedAdamw& optimizer, const std::vector<NamedTensor>& frozen,
                            const mpi::Communicator& comm) {
  const at::NoGradGuard no_grad;
  Manifest manifest;
  if (const auto damage = find_damage_together(checkpoint, manifest, comm)) {
    // Finding an older sound checkpoint reads whole checkpoints: once, not on every rank.
    const std::string report = comm.rank() == 0 ? damage_report(checkpoint, *damage) : std::string();
    const CheckpointError error("{}", comm.broadcast(report, 0, "report of a damaged checkpoint"));
    mpi::agree_on_failure(comm, "check of a checkpoint", std::make_exception_ptr(error));
  }
  const std::string differences = describe_differences(manifest.tensors, tensor_table(parameters, frozen));
  std::exception_ptr foreign;
  if (!differences.empty())
    foreign = std::make_exception_ptr(CheckpointError(
        "checkpoint {}: its tensors are not this model's: {}. Resume with the configuration it was "
        "trained with.",
        name_of(checkpoint), differences));
  mpi::agree_on_failure(comm, "tensors of a checkpoint", foreign);
  mpi::all_or_none(comm, "read of a checkpoint", [&] {
    read_shard(checkpoint, manifest, parameters, optimizer);
    if (comm.rank() != 0 || frozen.empty()) return;
    const hdf5::File file = hdf5::File::open(checkpoint / kFrozenFile);
    for (const auto& [name, tensor] : frozen) read_frozen(file, name, tensor);
  });
  share_frozen(frozen, comm);
  optimizer.gather_parameters();
  return manifest.state;
}

}  // namespace vrwkv::checkpoint
