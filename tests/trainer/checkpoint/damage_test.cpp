// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <functional>

#include "common/error.h"
#include "tests/trainer/checkpoint/example_run.h"
#include "tests/trainer/checkpoint/shared_folder.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::ExampleRun;
using ::testing::HasSubstr;

SaveReport save_run(const fs::path& folder, const ExampleRun& run, std::int64_t step,
                    const mpi::Communicator& comm) {
  return save(folder, run.state(step), run.parameters, run.optimizer, run.frozen, comm, 10);
}

void flip_bit(const fs::path& path, std::int64_t byte, int bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(byte);
  const int value = file.get();
  file.seekp(byte);
  file.put(static_cast<char>(value ^ (1 << bit)));
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const CheckpointError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kCheckpointDamaged);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// Saves step 7 and calls `check` on rank 0 with its folder, the others waiting.
void with_checkpoint(const std::function<void(const fs::path&)>& check) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const fs::path path = save_run(folder.path(), ExampleRun(world, 3), 7, world).path;
  if (world.rank() == 0) check(path);
  world.barrier("checked");
}

TEST(Damage, EveryFlippedBitInASampleOfEveryFileIsNoticed) {
  with_checkpoint([](const fs::path& path) {
    for (const auto& entry : fs::directory_iterator(path)) {
      const auto bytes = static_cast<std::int64_t>(entry.file_size());
      constexpr std::int64_t kSamples = 24;
      for (std::int64_t i = 0; i <= kSamples; ++i) {
        const std::int64_t byte = i == kSamples ? bytes - 1 : bytes * i / kSamples;
        const int bit = static_cast<int>(i % 8);
        flip_bit(entry.path(), byte, bit);
        EXPECT_THROW(verify(path), CheckpointError) << entry.path() << " byte " << byte << " bit " << bit;
        flip_bit(entry.path(), byte, bit);
      }
    }
    EXPECT_NO_THROW(verify(path));
  });
}

TEST(Damage, EveryCutAndEveryMissingFileIsNoticed) {
  with_checkpoint([](const fs::path& path) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
    for (const fs::path& file : files) {
      const fs::path aside = file.string() + ".aside";
      fs::copy_file(file, aside);
      for (const std::uintmax_t bytes :
           {fs::file_size(file) - 1, fs::file_size(file) / 2, std::uintmax_t{0}}) {
        fs::resize_file(file, bytes);
        EXPECT_THROW(verify(path), CheckpointError) << file << " cut to " << bytes;
      }
      fs::remove(file);
      EXPECT_THAT(error_of([&] { verify(path); }), HasSubstr("is missing (it was there at the commit)"))
          << file;
      fs::rename(aside, file);
    }
    EXPECT_NO_THROW(verify(path));
  });
}

TEST(Damage, TheMessageNamesTheNextOlderSoundCheckpoint) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  ExampleRun run(world, 3);
  for (const std::int64_t step : {1000, 1100, 1200}) save_run(folder.path(), run, step, world);
  const fs::path path = folder.path() / "step-00001200";
  if (world.rank() == 0) {
    fs::remove(path / "rank-0000.h5");
    flip_bit(folder.path() / "step-00001100" / "index.h5", 100, 0);
  }
  world.barrier("damaged");
  const std::string expected =
      "checkpoint step-00001200: shard 0 of " + std::to_string(world.size()) +
      " is missing (it was there at the commit). Restore rank-0000.h5, or resume from step-00001000.";
  EXPECT_EQ(error_of([&] { verify(path); }), expected);
  EXPECT_EQ(error_of([&] { load_parameters(path); }), expected);
  // Every rank of a job learns the same.
  EXPECT_EQ(error_of([&] { load_training(path, run.parameters, run.optimizer, run.frozen, world); }),
            expected);
  world.barrier("loaded");
  if (world.rank() == 0) {
    fs::remove(folder.path() / "step-00001000" / "manifest.json");
    EXPECT_THAT(error_of([&] { verify(path); }), HasSubstr("there is no older sound checkpoint"));
  }
  world.barrier("checked");
}

TEST(Damage, AFolderUnderAnotherStepsNameIsNoticed) {
  with_checkpoint([](const fs::path& path) {
    const fs::path other = path.parent_path() / "step-00000008";
    fs::rename(path, other);
    EXPECT_THAT(error_of([&] { verify(other); }), HasSubstr("manifest.json is of step 7"));
  });
}

TEST(Damage, AnInterruptedWriteIsIgnoredAndClearedByTheNextSave) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const ExampleRun run(world, 3);
  save_run(folder.path(), run, 7, world);
  const fs::path partial = folder.path() / "step-00000008.partial";
  if (world.rank() == 0) fs::copy(folder.path() / "step-00000007", partial);
  world.barrier("crashed");
  EXPECT_EQ(newest(folder.path()), folder.path() / "step-00000007");
  world.barrier("looked");
  save_run(folder.path(), run, 9, world);
  EXPECT_FALSE(fs::exists(partial));
  EXPECT_EQ(newest(folder.path()), folder.path() / "step-00000009");
}

/// Saves step 8 in a place where writing fails for at least one rank, and expects that only step 7 is there
/// after.
void expect_failed_save_leaves_the_old(const fs::path& folder, const ExampleRun& run,
                                       const mpi::Communicator& comm) {
  try {
    save_run(folder, run, 8, comm);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const IoError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
  } catch (const PeerError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
    EXPECT_THAT(error.what(), HasSubstr("step-00000008.partial"));
  }
  comm.barrier("failed");
  EXPECT_EQ(newest(folder), folder / "step-00000007");
  EXPECT_FALSE(fs::exists(folder / "step-00000008.partial"));
  EXPECT_NO_THROW(verify(folder / "step-00000007"));
  comm.barrier("looked");
}

TEST(FullDisk, OneRankThatCannotWriteFailsAllAndTheOldCheckpointStays) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const ExampleRun run(world, 3);
  save_run(folder.path(), run, 7, world);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  // Only the last rank's file system is "full", after it has written some of its shard.
  if (world.rank() == world.size() - 1) {
    const rlimit small{.rlim_cur = 100'000, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  expect_failed_save_leaves_the_old(folder.path(), run, world);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_NO_THROW(save_run(folder.path(), run, 8, world));
  EXPECT_NO_THROW(verify(folder.path() / "step-00000008"));
}

TEST(FullDisk, ASmallFileSystemHoldsOneCheckpointOnly) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const test::SharedFolder folder(world);
  const fs::path small = folder.path() / "small";
  std::int64_t refused = 0;
  if (world.rank() == 0) {
    fs::create_directory(small);
    refused = mount("tmpfs", small.c_str(), "tmpfs", 0, "size=4m") == 0 ? 0 : 1;
  }
  if (world.max(refused, "mount") != 0) GTEST_SKIP() << "this user cannot mount a small file system";
  const ExampleRun run(world, 3);
  save_run(small, run, 7, world);
  expect_failed_save_leaves_the_old(small, run, world);
  world.barrier("done");
  if (world.rank() == 0) umount2(small.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace vrwkv::checkpoint
