// SPDX-License-Identifier: Apache-2.0
// Steps whose ranks have many images, one, none, or no sample at all, in random order, through the whole
// trainer; and runs that are broken off at random steps and go on, on other ranks. VRWKV_TEST_STEPS and
// VRWKV_TEST_RESUMES ask for more of them than a test has time for.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "data/ledger_order.h"
#include "sharding/reduction_tree.h"
#include "tests/trainer/trainer_run.h"

namespace vrwkv::trainer {
namespace {

constexpr std::uint64_t kSamples = 600;

std::int64_t asked_for(const char* variable, std::int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoll(text);
}

std::uint64_t draw(std::uint64_t number, std::uint64_t limit) { return mix64(number + 0x5eed) % limit; }

/// Half the samples have no image, a quarter one, the others up to eight.
std::int64_t images_of(std::uint64_t sample) {
  const std::uint64_t kind = draw(sample, 4);
  return kind < 2 ? 0 : kind == 2 ? 1 : static_cast<std::int64_t>(2 + draw(sample + kSamples, 7));
}

/// Of one sample in five with images the first is missing, which nobody knows before it is read.
bool is_bad(std::uint64_t sample) { return images_of(sample) > 0 && draw(sample + 2 * kSamples, 5) == 0; }

enum class Batch {
  kInSamples,  ///< 4 samples, each in a micro-batch of its own; a bad one leaves it empty
  kInTokens  ///< one to four samples over 8 micro-batches, so that most are empty; the bad ones are replaced
};

class RandomSchedules : public test::TrainerRunTest {
 protected:
  RandomSchedules() {
    if (world_.rank() == 0) {
      std::vector<std::string> records;
      for (std::uint64_t i = 0; i < kSamples; ++i) {
        std::string record = test::tiny_record(i, images_of(i), std::string(1 + draw(i, 9), 'a'));
        if (is_bad(i)) record.replace(record.find(".png"), 4, ".gone");
        records.push_back(record);
      }
      test::write_records(folder_.path() / "mix.json", records);
    }
    world_.barrier("random data");
  }

  /// Collective. The first `ranks` train a model as small as can be to the step `end`; the others wait.
  void train_first(int ranks, const std::string& run, Batch batch, std::int64_t steps,
                   std::int64_t end) const {
    const bool takes_part = world_.rank() < ranks;
    const auto group = world_.split(takes_part ? 0 : 1, world_.rank());
    if (takes_part) {
      TrainerConfig config = test::tiny_run_config(
          folder_.path(),
          {"model.n_layer=1", "model.n_embd=32", "vision.siglip.depth=2", "vision.dinov2.depth=2",
           "optimizer.learning_rate=1e-4", "optimizer.final_learning_rate=1e-4", "data.max_bad_samples=0",
           "data.on_bad_sample=skip", "checkpoint.every_steps=0", "checkpoint.keep_last=1",
           "train.global_batch_size=4", "train.micro_batch_size=1", fmt::format("train.steps={}", steps),
           "run.directory=" + run});
      if (batch == Batch::kInTokens) {
        config.train.global_batch_size = 0;
        config.train.global_batch_tokens = 60;
        config.train.micro_batches = 8;
        config.data.on_bad_sample = data::BadSamplePolicy::kReplace;
      }
      Trainer(config, test::until(end), Compute{}, group).run();
    }
    world_.barrier("run of some ranks");
  }

  /// What the ranks of each step had, as letters (e: no sample, t: text only, 1: one image, m: more), with
  /// the number of such steps. From the run's ledger, which must be proven.
  std::map<std::string, std::int64_t> schedules_of(const std::string& run) const {
    std::map<std::string, std::int64_t> schedules;
    data::LedgerReader reader(run_folder(run) / "ledger.bin");
    while (const auto entry = reader.next()) {
      std::string schedule;
      for (int rank = 0; rank < world_.size(); ++rank) schedule += what_had(rank, *entry);
      ++schedules[schedule];
    }
    data::LedgerReader again(run_folder(run) / "ledger.bin");
    EXPECT_THAT(data::verify_ledger(again, data::ledger_order(again.header())).problems,
                ::testing::IsEmpty());
    return schedules;
  }

 private:
  char what_had(int rank, const data::LedgerEntry& entry) const {
    const auto leaves =
        sharding::leaf_range(static_cast<std::int64_t>(entry.micro_batches.size()), rank, world_.size());
    std::int64_t samples = 0, images = 0;
    for (std::int64_t leaf = leaves.begin; leaf < leaves.end; ++leaf) {
      for (const std::int64_t record : entry.micro_batches[static_cast<std::size_t>(leaf)]) {
        EXPECT_FALSE(is_bad(static_cast<std::uint64_t>(record)));
        ++samples;
        images += images_of(static_cast<std::uint64_t>(record));
      }
    }
    return samples == 0 ? 'e' : images == 0 ? 't' : images == 1 ? '1' : 'm';
  }
};

TEST_F(RandomSchedules, NoRankWaitsForWhatAnotherDoesNotHave) {
  const std::int64_t steps = asked_for("VRWKV_TEST_STEPS", 300);
  for (const Batch batch : {Batch::kInSamples, Batch::kInTokens}) {
    const std::string kind = batch == Batch::kInSamples ? "samples" : "tokens";
    train_first(world_.size(), kind, batch, steps, steps);
    train_first(1, kind + "-alone", batch, steps, steps);
    expect_equal_runs(kind, kind + "-alone");
    if (world_.rank() != 0) continue;
    std::int64_t all = 0, imageless = 0;
    std::map<char, std::int64_t> with_rank;  // steps in which some rank had that
    const auto schedules = schedules_of(kind);
    for (const auto& [schedule, count] : schedules) {
      all += count;
      if (schedule.find_first_of("1m") == std::string::npos) imageless += count;
      for (const char what : std::set<char>(schedule.begin(), schedule.end())) with_rank[what] += count;
    }
    fmt::print(
        "{}, {} ranks: {} schedules of {} kinds; some rank had no sample in {}, text only in {}, one "
        "image in {}, more in {}; no rank had an image in {}\n",
        kind, world_.size(), all, schedules.size(), with_rank['e'], with_rank['t'], with_rank['1'],
        with_rank['m'], imageless);
    EXPECT_EQ(all, steps);
    EXPECT_GT(imageless, 0);
    for (const char what : {'e', 't', '1', 'm'})
      EXPECT_GT(with_rank[what], steps / 100) << kind << ": " << what;
  }
  world_.barrier("verification");
}

TEST_F(RandomSchedules, ARunBrokenOffAtRandomStepsIsTheUnbrokenOne) {
  const std::int64_t resumes = asked_for("VRWKV_TEST_RESUMES", 30), steps = 2 * resumes;
  std::set<std::int64_t> ends = {steps};
  for (std::uint64_t i = 0; ends.size() <= static_cast<std::size_t>(resumes); ++i)
    ends.insert(1 + static_cast<std::int64_t>(draw(i, static_cast<std::uint64_t>(steps - 1))));
  train_first(1, "unbroken", Batch::kInTokens, steps, steps);
  for (const std::int64_t end : ends) {
    const auto ranks = 1 + draw(static_cast<std::uint64_t>(end), static_cast<std::uint64_t>(world_.size()));
    train_first(static_cast<int>(ranks), "broken", Batch::kInTokens, steps, end);
  }
  expect_equal_runs("broken", "unbroken");
  if (world_.rank() == 0) {
    EXPECT_EQ(read_file(run_folder("broken") / "ledger.bin"),
              read_file(run_folder("unbroken") / "ledger.bin"));
    fmt::print("{} resumes in {} steps on 1 to {} ranks\n", resumes, steps, world_.size());
  }
  world_.barrier("comparison");
}

}  // namespace
}  // namespace vrwkv::trainer
