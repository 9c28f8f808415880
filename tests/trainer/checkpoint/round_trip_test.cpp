// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/trainer/checkpoint/example_run.h"
#include "tests/trainer/checkpoint/shared_folder.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/shard_file.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::ExampleRun;

SaveReport save_run(const fs::path& folder, const ExampleRun& run, std::int64_t step,
                    const mpi::Communicator& comm, int keep_last = 10) {
  return save(folder, run.state(step), run.parameters, run.optimizer, run.frozen, comm, keep_last);
}

// Saved by the first w ranks, loaded by the first w', for all pairs up to the ranks at hand.
TEST(Checkpoint, LoadsTheSameBitsOnAnyWorldSize) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  for (int writers = 1; writers <= world.size(); ++writers) {
    const auto writing = world.split(world.rank() < writers ? 0 : 1, world.rank());
    const fs::path path = folder.path() / std::to_string(writers);
    if (world.rank() < writers) {
      const SaveReport report = save_run(path, ExampleRun(writing, 3), 7, writing);
      EXPECT_EQ(report.path, path / "step-00000007");
      EXPECT_FALSE(report.was_there);
      EXPECT_GT(report.bytes, 140'000U * 12U);
    }
    world.barrier("saved");
    for (int readers = 1; readers <= world.size(); ++readers) {
      const auto reading = world.split(world.rank() < readers ? 0 : 1, world.rank());
      if (world.rank() >= readers) continue;
      ExampleRun run(reading, 0);
      const TrainingState state =
          load_training(path / "step-00000007", run.parameters, run.optimizer, run.frozen, reading);
      EXPECT_TRUE(test::same_bits(run, ExampleRun(reading, 3))) << writers << " -> " << readers;
      EXPECT_EQ(state.step, 7);
      EXPECT_EQ(state.data_position, 56);
      EXPECT_EQ(state.metrics_rows, 7);
      EXPECT_EQ(state.config_toml, "[train]\nseed = 1\n");
    }
  }
}

TEST(Checkpoint, OneProcessReadsAllParametersByName) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const ExampleRun run(world, 3);
  const fs::path path = save_run(folder.path(), run, 7, world).path;
  const auto tensors = load_parameters(path);
  EXPECT_EQ(tensors.size(), 6U);
  for (const auto& [name, tensor] : run.parameters.tensors())
    EXPECT_TRUE(tensors.at(name).equal(tensor)) << name;
  for (const auto& [name, tensor] : run.frozen) EXPECT_TRUE(tensors.at(name).equal(tensor)) << name;
}

TEST(Checkpoint, DescribesWhatItHolds) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const fs::path path = save_run(folder.path(), ExampleRun(world, 3), 7, world).path;
  const Manifest manifest = describe(path);
  EXPECT_EQ(manifest.world_size, world.size());
  EXPECT_EQ(manifest.state.step, 7);
  EXPECT_EQ(manifest.files.size(), static_cast<std::size_t>(world.size()) + 2);
  ASSERT_EQ(manifest.tensors.size(), 6U);
  EXPECT_EQ(manifest.tensors[0].name, "rwkv.blocks.0.att.key.weight");
  EXPECT_EQ(manifest.tensors[0].bytes(), 256 * 300 * 12);
  EXPECT_TRUE(manifest.tensors[0].trainable);
  EXPECT_FALSE(manifest.tensors[5].trainable);
  EXPECT_EQ(verify(path).files, manifest.files);
}

TEST(Checkpoint, AStepThatIsThereStaysWhenItIsTheSameAndIsReplacedOtherwise) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const fs::path path = save_run(folder.path(), ExampleRun(world, 3), 7, world).path;
  const auto written = read_file(path / "manifest.json");
  EXPECT_TRUE(save_run(folder.path(), ExampleRun(world, 3), 7, world).was_there);
  EXPECT_EQ(read_file(path / "manifest.json"), written);
  // Other values: the checkpoint of a run that began anew.
  EXPECT_FALSE(save_run(folder.path(), ExampleRun(world, 4), 7, world).was_there);
  ExampleRun loaded(world, 0);
  load_training(path, loaded.parameters, loaded.optimizer, loaded.frozen, world);
  EXPECT_TRUE(test::same_bits(loaded, ExampleRun(world, 4)));
  // Damaged: written again.
  world.barrier("loaded");
  if (world.rank() == 0) fs::resize_file(path / "rank-0000.h5", 100);
  world.barrier("damaged");
  EXPECT_FALSE(save_run(folder.path(), ExampleRun(world, 4), 7, world).was_there);
  EXPECT_NO_THROW(verify(path));
}

TEST(Checkpoint, KeepsTheLastAndLinksFrozenTensors) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const ExampleRun run(world, 3);
  for (std::int64_t step = 1; step <= 4; ++step) save_run(folder.path(), run, step, world, 2);
  if (world.rank() == 0) {
    const auto all = list(folder.path());
    EXPECT_EQ(all, (std::vector{folder.path() / "step-00000003", folder.path() / "step-00000004"}));
    EXPECT_EQ(fs::hard_link_count(all.front() / "frozen.h5"), 2U);
    for (const auto& path : all) EXPECT_NO_THROW(verify(path));
    // A damaged file is not passed on: neither of its checkpoints gets another link.
    std::ofstream(all.back() / "frozen.h5", std::ios::app) << "x";
  }
  world.barrier("damaged");
  const fs::path path = save_run(folder.path(), run, 5, world).path;
  EXPECT_EQ(fs::hard_link_count(path / "frozen.h5"), 1U);
  EXPECT_NO_THROW(verify(path));
}

TEST(Checkpoint, OtherFrozenValuesGetTheirOwnFile) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  ExampleRun run(world, 3);
  save_run(folder.path(), run, 1, world);
  run.frozen[0].tensor[0][0] += 1;
  const fs::path path = save_run(folder.path(), run, 2, world).path;
  EXPECT_EQ(fs::hard_link_count(path / "frozen.h5"), 1U);
  EXPECT_TRUE(load_parameters(path).at("rwkv.emb.weight").equal(run.frozen[0].tensor));
}

TEST(Checkpoint, NamesAllTensorsThatAreNotTheModels) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const fs::path path = save_run(folder.path(), ExampleRun(world, 3), 7, world).path;
  sharding::MpiCollectives collectives(world);
  sharding::FlatParameters parameters(
      {{"rwkv.blocks.0.ln1.bias", at::zeros({78})}, {"proj.new.weight", at::zeros({2, 2})}});
  sharding::ShardedAdamw optimizer(parameters, sharding::ShardLayout(parameters.numel(), world.size()),
                                   collectives);
  try {
    load_training(path, parameters, optimizer, {}, world);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const CheckpointError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("missing: proj.new.weight; surplus: proj.o_proj.weight, "
                                                   "rwkv.blocks.0.att.key.weight, rwkv.blocks.0.att.x_r, "
                                                   "rwkv.emb.weight, vit.patch.weight; other shape: "
                                                   "rwkv.blocks.0.ln1.bias is (77), not (78)"));
  }
}

// A program with another parameter order still finds every value.
TEST(Checkpoint, LoadsParametersInAnotherOrder) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const ExampleRun run(world, 3);
  const fs::path path = save_run(folder.path(), run, 7, world).path;
  std::vector<NamedTensor> reversed;
  for (const auto& [name, tensor] : run.parameters.tensors())
    reversed.insert(reversed.begin(), {name, at::zeros_like(tensor)});
  sharding::MpiCollectives collectives(world);
  sharding::FlatParameters parameters(reversed);
  sharding::ShardedAdamw optimizer(parameters, sharding::ShardLayout(parameters.numel(), world.size()),
                                   collectives);
  load_training(path, parameters, optimizer, run.frozen, world);
  for (std::size_t i = 0; i < reversed.size(); ++i)
    EXPECT_TRUE(
        parameters.tensors()[i].tensor.equal(run.parameters.tensors()[reversed.size() - 1 - i].tensor));
}

TEST(PlanTransfers, ReadsExactlyTheOverlapAndJoinsWhatContinues) {
  Manifest manifest;
  manifest.tensors = {{"a", {64}, 64, true, 0}, {"b", {100}, 100, true, 64}};
  manifest.files = {{"rank-0000.h5", 0, 0, 0, 0, 80},
                    {"rank-0001.h5", 0, 0, 1, 80, 80},
                    {"rank-0002.h5", 0, 0, 2, 80, 200}};
  const std::vector<sharding::FlatParameter> same{{"a", {64}, 0, 64, false}, {"b", {100}, 64, 100, false}};
  EXPECT_EQ(plan_transfers(manifest, same, 10, 200), (std::vector<Transfer>{{0, 10, 0, 70}, {2, 0, 70, 84}}));
  EXPECT_TRUE(plan_transfers(manifest, same, 164, 200).empty());
  const std::vector<sharding::FlatParameter> swapped{{"b", {100}, 0, 100, false},
                                                     {"a", {64}, 112, 64, false}};
  EXPECT_EQ(plan_transfers(manifest, swapped, 0, 200),
            (std::vector<Transfer>{{0, 64, 0, 16}, {2, 0, 16, 84}, {0, 0, 112, 64}}));
}

}  // namespace
}  // namespace vrwkv::checkpoint
