// SPDX-License-Identifier: Apache-2.0
// A run can prove which samples it was trained on, whoever computed them and however often it was
// interrupted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/ledger_order.h"
#include "tests/trainer/trainer_run.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using test::resuming;
using test::until;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LedgerOfARun : public test::TrainerRunTest {
 protected:
  data::LedgerProof proof_of(const std::string& run) const {
    data::LedgerReader reader(run_folder(run) / "ledger.bin");
    const data::LedgerOrder order = data::ledger_order(reader.header());
    return data::verify_ledger(reader, order);
  }
  void train_in_tokens(const std::string& run, const TrainOptions& options) const {
    TrainerConfig config = test::tiny_run_config(folder_.path(), {"run.directory=" + run});
    config.train.global_batch_size = 0;
    config.train.global_batch_tokens = 600;
    config.train.micro_batches = 24;
    Trainer(config, options, Compute{}, world_).run();
  }
  /// 24 micro-batches, so that each of 8 ranks has three.
  const std::vector<std::string> fine_ = {"train.micro_batch_size=1", "checkpoint.every_steps=1"};
};

TEST_F(LedgerOfARun, ProvesEachSampleThroughResumesOnOtherRanks) {
  train("run", fine_, until(2));
  train_alone("run", fine_, until(3));
  // The steps after the last checkpoint that is left are computed again, and stand there once.
  if (world_.rank() == 0) fs::remove_all(run_folder("run") / "checkpoints/step-00000003");
  world_.barrier("loss of a checkpoint");
  train("run", fine_, until(5));
  train_alone("run", fine_);
  if (world_.rank() == 0) {
    const data::LedgerProof proof = proof_of("run");
    EXPECT_THAT(proof.problems, IsEmpty());
    EXPECT_EQ(proof.steps, 6);
    EXPECT_EQ(proof.places, 6 * 24);
    EXPECT_EQ(proof.whole_passes, 3) << "40 samples an epoch";
    EXPECT_EQ(proof.replaced, 0);
    EXPECT_FALSE(fs::exists(run_folder("run") / "quarantine.json"));
  }
  world_.barrier("verification");
}

TEST_F(LedgerOfARun, IsTheSameForEveryNumberOfRanks) {
  train_alone("alone", fine_, until(3));
  train("together", fine_, until(3));
  if (world_.rank() == 0) {
    EXPECT_EQ(read_file(run_folder("alone") / "ledger.bin"),
              read_file(run_folder("together") / "ledger.bin"));
  }
  world_.barrier("comparison");
}

TEST_F(LedgerOfARun, GoesAlongWithACheckpointIntoAnotherFolder) {
  train("first", fine_, until(2));
  train("second", fine_, resuming(run_folder("first") / "checkpoints/step-00000001"));
  if (world_.rank() == 0) {
    EXPECT_TRUE(proof_of("second").proven());
    EXPECT_EQ(proof_of("second").steps, 6);
  }
  world_.barrier("verification");
}

// Another record under a number that the ledger holds would be taken for the one that was trained on.
TEST_F(LedgerOfARun, ARunDoesNotGoOnOnOtherSamplesOfTheSameNumber) {
  train("run", fine_, until(2));
  const fs::path data = folder_.path() / "mix.json", ledger = run_folder("run") / "ledger.bin";
  const std::string before = read_file(data), entries = read_file(ledger);
  world_.barrier("reading");
  if (world_.rank() == 0) {
    std::string other = before;
    other.replace(other.find("sample-1\""), 8, "sample-x");
    test::write_file(data, other);
  }
  world_.barrier("other data");
  const std::string refusal = test::message_of<Error>([&] { train("run", fine_); });
  EXPECT_THAT(refusal, AllOf(HasSubstr("ledger.bin: the run was begun on other data"),
                             HasSubstr("[model] initial_model")));
  EXPECT_THAT(test::message_of<Error>([&] { train("other", fine_, resuming(run_folder("run"))); }),
              HasSubstr("run/ledger.bin: the run was begun on other data"));
  EXPECT_EQ(read_file(ledger), entries);
  EXPECT_FALSE(fs::exists(run_folder("other") / "config.toml"));
  world_.barrier("refusals");
  if (world_.rank() == 0) {
    test::write_file(data, before);  // at another time
    test::write_png(folder_.path() / "images/0.png", 99);
  }
  world_.barrier("the data, and a mended image");
  EXPECT_EQ(train("run", fine_, until(3)).step, 3);
}

TEST_F(LedgerOfARun, WithoutItARunDoesNotGoOn) {
  train("run", fine_, until(1));
  if (world_.rank() == 0) fs::remove(run_folder("run") / "ledger.bin");
  world_.barrier("loss of the ledger");
  EXPECT_THAT(test::message_of<Error>([&] { train("run", fine_, until(2)); }), HasSubstr("ledger.bin"));
}

// The position after a step of tokens is nobody's to compute but the run's: the checkpoint holds it.
TEST_F(LedgerOfARun, StepsOfTokensGoOnWhereTheyEnded) {
  train_in_tokens("unbroken", {});
  train_in_tokens("broken", until(2));
  train_in_tokens("broken", until(3));
  train_in_tokens("broken", {});
  expect_equal_runs("unbroken", "broken");
  if (world_.rank() == 0) {
    const data::LedgerProof proof = proof_of("broken");
    EXPECT_THAT(proof.problems, IsEmpty());
    EXPECT_EQ(proof.steps, 6);
    EXPECT_EQ(checkpoint::describe(checkpoint::resolve(run_folder("broken"))).state.data_position,
              proof.places);
    for (const auto& row : test::metrics_of(run_folder("broken"))) EXPECT_GE(row.at("tokens"), 600);
  }
  world_.barrier("verification");
}

}  // namespace
}  // namespace vrwkv::trainer
