// SPDX-License-Identifier: Apache-2.0
// Whole runs: the same bits on any number of ranks, and after any interruption.
#include "trainer/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "data/ledger/ledger_file.h"
#include "tests/trainer/trainer_run.h"
#include "trainer/load_model.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::resuming;
using test::until;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using TrainerTest = test::TrainerRunTest;

TEST_F(TrainerTest, ARunOfAllRanksHasTheBitsOfARunOfOne) {
  // Untrained blocks pass nothing on from a picture to the answer, so stage 1 needs some that were trained.
  train_alone("start", {}, until(2));
  const std::vector<std::vector<std::string>> variants = {
      {"train.stage=2"},
      {"train.stage=1", "model.initial_model=start"},
      {"train.stage=2", "train.l2wrap=all", "train.recompute=all", "train.gradient_clip=0.05"}};
  for (std::size_t i = 0; i < variants.size(); ++i) {
    const std::string alone = fmt::format("alone-{}", i), together = fmt::format("together-{}", i);
    train_alone(alone, variants[i]);
    train(together, variants[i]);
    expect_equal_runs(alone, together);
  }
}

// 12 micro-batches are dealt 3, 3, 3, 3 or 6, 6; with 3 buckets of one shard block or one of all.
TEST_F(TrainerTest, BucketsAndLoaderThreadsChangeNoBit) {
  train("one", {"sharding.bucket_elements=65536", "data.threads=1"});
  train("other", {"sharding.bucket_elements=16777216", "data.threads=3"});
  expect_equal_runs("one", "other");
}

TEST_F(TrainerTest, TrainsAndSaysSo) {
  const TrainSummary summary = train("run");
  EXPECT_EQ(summary.step, 6);
  EXPECT_FALSE(summary.stopped_on_request);
  EXPECT_EQ(summary.checkpoint, run_folder("run") / "checkpoints/step-00000006");
  EXPECT_LT(summary.last_loss, 5.0) << "it starts from log(300) = 5.7";
  const auto rows = test::metrics_of(run_folder("run"));
  ASSERT_THAT(rows, SizeIs(6));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("step"), i + 1);
    EXPECT_EQ(rows[i].at("samples"), 24);
    EXPECT_GT(rows[i].at("tokens"), rows[i].at("supervised_tokens"));
    EXPECT_GT(rows[i].at("supervised_tokens"), 24);
    EXPECT_GT(rows[i].at("step_seconds"), 0.0);
    EXPECT_GT(rows[i].at("memory_bytes"), 1 << 20);
  }
  EXPECT_EQ(rows.back().at("loss"), summary.last_loss.value());
  EXPECT_NEAR(rows[0].at("loss"), std::log(300.0), 0.3);
  EXPECT_EQ(summary.first_loss,
            world_.rank() == 0 ? std::optional<double>(rows[0].at("loss").get<double>()) : std::nullopt);
}

// The row after a save carries its stall, and no other row does.
TEST_F(TrainerTest, ACheckpointStallsOneRow) {
  train("run", {"checkpoint.every_steps=2"});
  const auto rows = test::metrics_of(run_folder("run"));
  for (const std::size_t step : {1U, 2U, 4U, 6U})
    EXPECT_EQ(rows[step - 1].at("checkpoint_stall_seconds"), 0.0) << step;
  for (const std::size_t step : {3U, 5U})
    EXPECT_GT(rows[step - 1].at("checkpoint_stall_seconds"), 0.0) << step;
}

TEST_F(TrainerTest, AnInterruptedRunEndsLikeAnUnbrokenOneOnAnyRanks) {
  train("unbroken");
  train("broken", {}, until(3));
  // The step after the last checkpoint that is left was computed, but nothing of it counts.
  if (world_.rank() == 0) fs::remove_all(run_folder("broken") / "checkpoints/step-00000003");
  world_.barrier("loss of a checkpoint");
  const TrainSummary summary = train("broken", {}, until(4));
  EXPECT_EQ(summary.step, 4);
  train_alone("broken");
  expect_equal_runs("unbroken", "broken");
}

// A GPU's type, with the same roundings on a CPU. Parameters are computed with in bf16, and stored as they
// are.
TEST_F(TrainerTest, ARunInBf16HasTheSameBitsOnAnyRanksAndAfterAnInterruption) {
  train_alone("fp32", {"train.stage=2"}, until(1));
  const Compute bf16{.type = c10::kBFloat16};
  train_alone("alone", {"train.stage=2"}, {}, bf16);
  train("together", {"train.stage=2"}, until(3), bf16);
  train("together", {"train.stage=2"}, {}, bf16);
  expect_equal_runs("alone", "together");
  const auto start = checkpoint::load_parameters(checkpoint::resolve(run_folder("fp32")));
  bool below_bf16 = false;  // whether anything that learns has more digits than bf16
  for (const auto& [name, tensor] : checkpoint::load_parameters(checkpoint::resolve(run_folder("alone")))) {
    if (TrainableParts::of_stage(2).includes(name)) {
      below_bf16 = below_bf16 || !tensor.equal(tensor.to(at::kBFloat16).to(at::kFloat));
    } else {
      EXPECT_TRUE(test::same_bits(tensor, start.at(name))) << name;
    }
  }
  EXPECT_TRUE(below_bf16);
}

TEST_F(TrainerTest, AFinishedRunStaysAsItIs) {
  train("run", {}, until(2));
  const auto rows = test::numbers_of(run_folder("run"));
  const TrainSummary summary = train("run", {}, until(2));
  EXPECT_EQ(summary.step, 2);
  EXPECT_EQ(summary.last_loss, std::nullopt) << "it computed none";
  EXPECT_EQ(summary.checkpoint, run_folder("run") / "checkpoints/step-00000002");
  EXPECT_EQ(test::numbers_of(run_folder("run")), rows);
}

TEST_F(TrainerTest, ACheckpointOfAnotherFolderBringsItsRowsAlong) {
  train("first", {}, until(4));
  train("second", {}, resuming(run_folder("first") / "checkpoints/step-00000002/"));
  train("first");
  expect_equal_runs("first", "second");
}

TEST_F(TrainerTest, ItDoesSoWhereARunEndedBeforeItsFirstCheckpoint) {
  train("first", {}, until(4));
  if (world_.rank() == 0) {
    const std::string header = data::LedgerReader(run_folder("first") / "ledger.bin").header();
    fs::create_directories(run_folder("second"));
    write_file_atomically(run_folder("second") / "metrics.jsonl", "");
    data::LedgerWriter(run_folder("second") / "ledger.bin", header, 0);
  }
  world_.barrier("what the run left behind");
  train("second", {}, resuming(run_folder("first") / "checkpoints/step-00000002/"));
  train("first");
  expect_equal_runs("first", "second");
}

TEST_F(TrainerTest, ALoneCheckpointWithoutItsRowsIsRefused) {
  train("first", {}, until(2));
  if (world_.rank() == 0) fs::remove(run_folder("first") / "metrics.jsonl");
  world_.barrier("loss of the metrics");
  EXPECT_THROW(train("second", {}, resuming(run_folder("first"))), Error);
  try {
    train("second", {}, resuming(run_folder("first")));
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kCheckpointDamaged);
    EXPECT_THAT(error.what(), HasSubstr("metrics.jsonl: 0 rows"));
  }
}

TEST_F(TrainerTest, AnotherRunsParametersAreAStart) {
  train("first", {}, until(4));
  train("second", {"train.stage=1", "model.initial_model=first"}, until(1));
  EXPECT_LT(test::metrics_of(run_folder("second")).at(0).at("loss"), 5.0);
  EXPECT_GT(test::metrics_of(run_folder("second")).at(0).at("grad_norm"), 0.0);
  const auto before = checkpoint::load_parameters(checkpoint::resolve(run_folder("first")));
  for (const auto& [name, tensor] : checkpoint::load_parameters(checkpoint::resolve(run_folder("second"))))
    EXPECT_EQ(test::same_bits(before.at(name), tensor), !name.starts_with("proj.")) << name;
}

TEST_F(TrainerTest, AModelLoadsWithTheConfigurationItWasTrainedBy) {
  train("run", {}, until(1));
  const LoadedModel loaded = load_model(run_folder("run"));
  EXPECT_EQ(loaded.checkpoint, run_folder("run") / "checkpoints/step-00000001");
  EXPECT_EQ(loaded.config.data.sources.at(0).file, folder_.path() / "mix.json");
  const auto stored = checkpoint::load_parameters(loaded.checkpoint);
  for (const auto& [name, tensor] : loaded.model.parameters())
    EXPECT_TRUE(test::same_bits(tensor, stored.at(name))) << name;
}

TEST_F(TrainerTest, MoreRanksThanMicroBatchesAreRefused) {
  const std::vector<std::string> one = {"train.micro_batch_size=24"};
  if (world_.size() == 1) {
    EXPECT_EQ(train("run", one, until(1)).step, 1);
  } else {
    EXPECT_THAT(message_of<Error>([&] { train("run", one); }), HasSubstr("but a step has 1 micro-batches"));
    EXPECT_FALSE(fs::exists(run_folder("run")));
  }
}

}  // namespace
}  // namespace vrwkv::trainer
