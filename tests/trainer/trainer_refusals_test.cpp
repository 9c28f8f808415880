// SPDX-License-Identifier: Apache-2.0
// What ends a run reaches every rank with one exit code, and each message is shown by one rank.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <set>

#include "common/error.h"
#include "sharding/mpi_collectives.h"
#include "tests/trainer/trainer_run.h"

namespace vrwkv::trainer {
namespace {

using test::until;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TrainerRefusals : public test::TrainerRunTest {
 protected:
  /// Adds records that cannot be trained on: an image that is not there, an empty answer.
  void add_bad_samples() const {
    if (world_.rank() == 0) {
      std::vector<std::string> records;
      for (std::uint64_t i = 0; i < 22; ++i) records.push_back(test::tiny_record(i, 0, "yes"));
      records.push_back(
          R"({"id": "gone", "image": "gone.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, )"
          R"({"from": "gpt", "value": "nothing"}]})");
      records.push_back(test::tiny_record(99, 0, ""));
      test::write_records(folder_.path() / "mix.json", records);
    }
    world_.barrier("bad samples");
  }

  /// Runs; what it threw, after a check that every rank threw with this code and no message is shown twice.
  std::string refusal(ExitCode code, const std::vector<std::string>& settings) const {
    std::optional<Error> refused;
    try {
      train("run", settings);
    } catch (const Error& error) {
      refused = error;
    }
    EXPECT_TRUE(refused.has_value()) << "it trained";
    if (!refused) return "";
    EXPECT_EQ(refused->exit_code(), code);
    EXPECT_TRUE(refused->agreed());
    std::multiset<std::string> shown;
    for (const std::string& message :
         world_.all_gather(refused->shown() ? refused->what() : "", "shown errors"))
      if (!message.empty()) shown.insert(message);
    EXPECT_GE(shown.size(), 1U);
    for (const std::string& message : shown) EXPECT_EQ(shown.count(message), 1U) << message;
    return refused->what();
  }
};

// 24 samples a step, 24 in the file: each step sees all of them.
TEST_F(TrainerRefusals, ABadSampleEndsTheRunAndIsNamed) {
  add_bad_samples();
  const std::string message = refusal(ExitCode::kDataRefused, {"data.on_bad_sample=stop"});
  EXPECT_THAT(message, AllOf(HasSubstr("mix.json: sample '"), HasSubstr("or \"skip\"")));
  if (world_.rank() == 0) {
    EXPECT_THAT(data::Quarantine::read(run_folder("run") / "quarantine.json").samples(), SizeIs(2));
  }
  world_.barrier("list");
}

// The samples of a list are replaced before the deal: with another list a rank would hold other samples.
TEST_F(TrainerRefusals, RanksThatLeaveOutOtherSamplesAreRefused) {
  if (world_.size() == 1) GTEST_SKIP() << "one rank cannot differ from another";
  add_bad_samples();
  train("first", {}, until(1));
  if (world_.rank() == 0) {
    auto list = data::Quarantine::read(run_folder("first") / "quarantine.json");
    list.add({5, "sample-5", "somebody said so"});
    list.write(folder_.path() / "longer.json");
  }
  world_.barrier("lists");
  const std::string list = world_.rank() == 0 ? "first/quarantine.json" : "longer.json";
  EXPECT_THAT(refusal(ExitCode::kDataRefused, {"data.quarantine=" + list}),
              HasSubstr("another [data] quarantine, than rank 0"));
}

TEST_F(TrainerRefusals, SkippedSamplesAreCountedAndTheRestTrains) {
  add_bad_samples();
  EXPECT_EQ(train("run", {"data.on_bad_sample=skip"}, until(2)).step, 2);
  for (const auto& row : test::metrics_of(run_folder("run"))) EXPECT_EQ(row.at("samples"), 22);
  const auto state = checkpoint::describe(checkpoint::resolve(run_folder("run"))).state;
  EXPECT_EQ(state.bad_samples, 4);
  EXPECT_EQ(state.data_position, 48);
}

TEST_F(TrainerRefusals, TooManySkippedSamplesEndTheRunAlsoAcrossResumes) {
  add_bad_samples();
  const std::vector<std::string> settings = {"data.on_bad_sample=skip", "data.max_bad_samples=5"};
  EXPECT_EQ(train("run", settings, until(2)).step, 2);
  EXPECT_THAT(refusal(ExitCode::kDataRefused, settings),
              HasSubstr("6 bad samples so far (max_bad_samples = 5)"));
}

TEST_F(TrainerRefusals, DataThatIsNotThereIsRefusedBeforeTheRunDirectoryIsMade) {
  EXPECT_THAT(refusal(ExitCode::kDataRefused, {"data.file=none.json"}), HasSubstr("none.json"));
  EXPECT_FALSE(std::filesystem::exists(run_folder("run")));
}

TEST_F(TrainerRefusals, AModelOfOtherSizesIsNoStart) {
  train("first", {}, until(1));
  const std::string message = refusal(
      ExitCode::kUsage, {"model.initial_model=first", "model.n_layer=1", "model.vocabulary_size=400"});
  EXPECT_THAT(message, AllOf(HasSubstr("rwkv.emb.weight is (300, 64), not (400, 64)"),
                             HasSubstr("rwkv.blocks.1.ln1.weight")));
}

/// A checkpoint of the configured model in which one parameter is not a number.
void save_poisoned_model(const std::filesystem::path& folder, const TrainerConfig& config,
                         const mpi::Communicator& world) {
  const model::VisualRwkv model(config.model, config.train.seed);
  std::vector<NamedTensor> trained, frozen;
  for (const auto& parameter : model.parameters())
    (parameter.name.starts_with("proj.") ? trained : frozen).push_back(parameter);
  at::Tensor(trained.front().tensor).fill_(std::numeric_limits<float>::quiet_NaN());
  sharding::FlatParameters parameters(trained);
  sharding::MpiCollectives collectives(world);
  const sharding::ShardedAdamw optimizer(parameters, sharding::ShardLayout(parameters.numel(), world.size()),
                                         collectives);
  checkpoint::save(folder, {.step = 1, .config_toml = config.resolved_toml}, parameters, optimizer, frozen,
                   world, 1);
}

TEST_F(TrainerRefusals, AStepThatIsNotANumberChangesNothing) {
  save_poisoned_model(folder_.path() / "poisoned", test::tiny_run_config(folder_.path()), world_);
  EXPECT_THAT(refusal(ExitCode::kFailed, {"model.initial_model=poisoned"}),
              AllOf(HasSubstr("step 1: the loss is"), HasSubstr("nan")));
  EXPECT_THAT(test::metrics_of(run_folder("run")), SizeIs(0));
  EXPECT_EQ(checkpoint::newest(run_folder("run") / "checkpoints"), std::nullopt);
}

}  // namespace
}  // namespace vrwkv::trainer
