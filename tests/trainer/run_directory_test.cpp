// SPDX-License-Identifier: Apache-2.0
#include "trainer/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/support/temporary_directory.h"
#include "tests/trainer/checkpoint/example_run.h"
#include "tests/trainer/tiny_run.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const ResumeRequest kAuto = ResumeRequest::parse("auto");
const ResumeRequest kNever = ResumeRequest::parse("never");

class RunDirectoryTest : public ::testing::Test {
 protected:
  TrainerConfig config(const std::vector<std::string>& settings = {}) const {
    return test::tiny_run_config(folder_.path(), settings);
  }
  RunDirectory run(const std::string& name) const { return RunDirectory(folder_.path() / name); }
  /// A run's folder with a checkpoint after each of `steps`.
  RunDirectory run_with_checkpoints(const std::string& name, const TrainerConfig& config,
                                    const std::vector<std::int64_t>& steps) const {
    const RunDirectory directory = run(name);
    directory.prepare(config);
    const test::ExampleRun example(world_, 1);
    for (const std::int64_t step : steps) {
      checkpoint::TrainingState state = example.state(step);
      state.config_toml = config.resolved_toml;
      checkpoint::save(directory.checkpoints(), state, example.parameters, example.optimizer, example.frozen,
                       world_, 9);
    }
    return directory;
  }

  const test::TemporaryDirectory folder_;
  const mpi::Communicator world_ = mpi::Communicator::duplicate(MPI_COMM_WORLD);
};

TEST_F(RunDirectoryTest, AFolderThatIsNotThereStartsFromTheBeginning) {
  EXPECT_EQ(run("new").checkpoint_to_resume(config(), kAuto), std::nullopt);
  EXPECT_EQ(run("new").checkpoint_to_resume(config(), kNever), std::nullopt);
  EXPECT_FALSE(fs::exists(folder_.path() / "new")) << "it was only asked";
}

TEST_F(RunDirectoryTest, PrepareLeavesTheResolvedConfigurationAndTheFolders) {
  run("new").prepare(config());
  EXPECT_TRUE(fs::is_directory(folder_.path() / "new/log"));
  EXPECT_TRUE(fs::is_directory(folder_.path() / "new/checkpoints"));
  const auto stored = read_trainer_config(TomlDocument::load(folder_.path() / "new/config.toml"));
  EXPECT_EQ(stored.resolved_toml, config().resolved_toml);
}

TEST_F(RunDirectoryTest, AutoGoesOnFromTheNewestCheckpoint) {
  const RunDirectory directory = run_with_checkpoints("run", config(), {2, 10, 4});
  EXPECT_EQ(directory.checkpoint_to_resume(config(), kAuto), directory.checkpoints() / "step-00000010");
}

TEST_F(RunDirectoryTest, AForeignRunIsRefusedWhateverIsAsked) {
  const RunDirectory directory = run_with_checkpoints("run", config(), {2});
  const std::string before = read_file(directory.config());
  const TrainerConfig other = config({"train.steps=9", "optimizer.learning_rate=0.5"});
  for (const ResumeRequest& request : {kAuto, kNever, ResumeRequest::parse(directory.root().string())}) {
    const std::string message =
        message_of<ConfigError>([&] { directory.checkpoint_to_resume(other, request); });
    EXPECT_THAT(
        message,
        AllOf(HasSubstr(directory.root().string()), HasSubstr("train.steps = 6 there, 9 here"),
              HasSubstr("optimizer.learning_rate = 0.01 there, 0.5 here"), Not(HasSubstr("train.seed"))));
  }
  EXPECT_EQ(read_file(directory.config()), before);
}

TEST_F(RunDirectoryTest, KeysThatDoNotChangeTheNumbersMayChange) {
  const RunDirectory directory = run_with_checkpoints("run", config(), {2});
  const TrainerConfig moved = config({"run.threads_per_rank=2", "sharding.bucket_elements=131072",
                                      "checkpoint.keep_last=5", "data.file=elsewhere.json"});
  EXPECT_EQ(directory.checkpoint_to_resume(moved, kAuto), directory.checkpoints() / "step-00000002");
}

TEST_F(RunDirectoryTest, NeverRefusesToOverwriteCheckpoints) {
  const RunDirectory directory = run_with_checkpoints("run", config(), {2, 4});
  EXPECT_THAT(message_of<ConfigError>([&] { directory.checkpoint_to_resume(config(), kNever); }),
              AllOf(HasSubstr("step-00000004"), HasSubstr("--resume never")));
  const RunDirectory died_early = run_with_checkpoints("early", config(), {});
  EXPECT_EQ(died_early.checkpoint_to_resume(config(), kNever), std::nullopt);
}

TEST_F(RunDirectoryTest, APathMayBeACheckpointOrTheRunThatHoldsIt) {
  const RunDirectory other = run_with_checkpoints("other", config(), {2, 4});
  const auto resumed_from = [&](const fs::path& path) {
    return run("run").checkpoint_to_resume(config(), ResumeRequest::parse(path.string()));
  };
  EXPECT_EQ(resumed_from(other.checkpoints() / "step-00000002"), other.checkpoints() / "step-00000002");
  EXPECT_EQ(resumed_from(other.root()), other.checkpoints() / "step-00000004");
  // As a shell completes it.
  EXPECT_EQ(resumed_from(other.checkpoints() / "step-00000002/"), other.checkpoints() / "step-00000002");
  EXPECT_THROW(resumed_from(folder_.path() / "nowhere"), ConfigError);
}

// Going on from it would give neither run's numbers.
TEST_F(RunDirectoryTest, ACheckpointOfAnotherConfigurationIsRefused) {
  const RunDirectory other = run_with_checkpoints("other", config({"train.seed=99"}), {2});
  const ResumeRequest request = ResumeRequest::parse(other.root().string());
  EXPECT_THAT(message_of<ConfigError>([&] { run("run").checkpoint_to_resume(config(), request); }),
              AllOf(HasSubstr("step-00000002"), HasSubstr("train.seed = 99 there, 3 here")));
}

}  // namespace
}  // namespace vrwkv::trainer
