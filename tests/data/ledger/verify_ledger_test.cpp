// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/verify_ledger.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/plan/step_plan.h"
#include "data/sampler.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kRecords = 100;

class VerifyLedger : public ::testing::Test {
 protected:
  /// Steps of 12 places in 4 micro-batches; every tenth record is bad and replaced.
  std::vector<LedgerEntry> entries(std::int64_t steps) const {
    const auto outline = [](std::int64_t record) -> SampleOutline {
      return {record % 7 + 1, 0, record % 10 == 0};
    };
    const StepPlanner planner([&](std::int64_t at) { return sampler_.at(at); }, outline, substitution_,
                              {.samples = 12, .micro_batches = 4});
    std::vector<LedgerEntry> made;
    for (std::int64_t step = 1; step <= steps; ++step) {
      const StepPlan plan = planner.plan((step - 1) * 12);
      LedgerEntry& entry = made.emplace_back();
      entry.step = step;
      entry.position = plan.position;
      entry.places = plan.samples;
      for (const auto& micro_batch : plan.micro_batches) {
        auto& records = entry.micro_batches.emplace_back();
        for (const auto& sample : micro_batch) {
          records.push_back(sample.record);
          if (sample.attempt > 0)
            entry.replacements.push_back({sample.position - plan.position, sampler_.at(sample.position),
                                          sample.attempt, sample.record});
        }
      }
    }
    return made;
  }

  LedgerProof verify(const std::vector<LedgerEntry>& entries, const LedgerMark& checkpoint = {}) const {
    const auto file = directory_.path() / "ledger.bin";
    LedgerWriter writer(file, "", 0);
    for (const auto& entry : entries) writer.append(entry);
    LedgerReader reader(file);
    return verify_ledger(
        reader, {[&](std::int64_t at) { return sampler_.at(at); }, kRecords, kRecords, substitution_},
        checkpoint);
  }

  const Sampler sampler_{kRecords, 4};
  const Substitution substitution_{kRecords};
  test::TemporaryDirectory directory_;
};

TEST_F(VerifyLedger, ProvesARunOverEpochs) {
  const LedgerProof proof = verify(entries(25));
  EXPECT_THAT(proof.problems, IsEmpty());
  EXPECT_TRUE(proof.proven());
  EXPECT_EQ(proof.steps, 25);
  EXPECT_EQ(proof.places, 300);
  EXPECT_EQ(proof.whole_passes, 3);
  EXPECT_EQ(proof.replaced, 30);
}

TEST_F(VerifyLedger, ListsByEpochWhatDidNotEnterAndWhatEnteredInItsPlace) {
  const auto run = entries(25);
  std::vector<int> entered(kRecords, 0), listed(kRecords, 3);
  for (const LedgerEntry& entry : run)
    for (const auto& records : entry.micro_batches)
      for (const std::int64_t record : records) ++entered[static_cast<std::size_t>(record)];
  const LedgerProof proof = verify(run);
  ASSERT_EQ(proof.epochs.size(), 3U);
  for (const EpochAccount& epoch : proof.epochs) {
    EXPECT_EQ(epoch.epoch, &epoch - proof.epochs.data() + 1);
    EXPECT_THAT(epoch.absent, ElementsAre(0, 10, 20, 30, 40, 50, 60, 70, 80, 90));
    EXPECT_THAT(epoch.again, SizeIs(10));
    for (const std::int64_t record : epoch.absent) --listed[static_cast<std::size_t>(record)];
    for (const std::int64_t record : epoch.again) ++listed[static_cast<std::size_t>(record)];
  }
  EXPECT_EQ(entered, listed);
  const LedgerProof begun = verify(entries(1));
  ASSERT_EQ(begun.epochs.size(), 1U);
  EXPECT_EQ(static_cast<std::int64_t>(begun.epochs[0].absent.size()), begun.replaced);
  EXPECT_EQ(begun.whole_passes, 0);
}

// Of a file that nobody wrote: time and memory stay as its size is, and no sum overflows.
TEST_F(VerifyLedger, NumbersThatCannotBeAreProblemsAndNoWork) {
  constexpr std::int64_t kHuge = (std::int64_t{1} << 49) - 1;
  auto run = entries(9);
  auto& entry =
      *std::find_if(run.begin(), run.end(), [](const auto& one) { return !one.replacements.empty(); });
  const LedgerEntry right = entry;
  entry.places = kHuge;
  EXPECT_THAT(verify(run).problems,
              Contains(HasSubstr(fmt::format("took {} places of the order, but 12 records entered", kHuge))));
  entry = right;
  entry.position = kHuge;
  EXPECT_THAT(verify(run).problems, Contains(HasSubstr(fmt::format("begins at position {}", kHuge))));
  entry = right;
  entry.replacements[0].place = kHuge;
  EXPECT_THAT(verify(run).problems, Contains(HasSubstr("which is not there")));
  entry = right;
  entry.replacements.push_back(entry.replacements[0]);
  EXPECT_THAT(verify(run).problems, Contains(HasSubstr("which is not there"))) << "twice the same place";
}

// Every entry of a ledger that was cut between two of them is right.
TEST_F(VerifyLedger, NoticesThatStepsBeforeTheNewestCheckpointAreMissing) {
  EXPECT_TRUE(verify(entries(5), {5, 60}).proven());
  EXPECT_TRUE(verify(entries(5), {4, 48}).proven());
  EXPECT_THAT(verify(entries(3), {5, 60}).problems,
              ElementsAre("the ledger ends after step 3, but a checkpoint was written after step 5"));
  EXPECT_THAT(verify({}, {5, 60}).problems,
              ElementsAre("the ledger ends after step 0, but a checkpoint was written after step 5"));
  EXPECT_THAT(verify(entries(5), {4, 50}).problems,
              ElementsAre("step 4 ends at position 48 of the order, but its checkpoint was written at "
                          "position 50"));
}

TEST_F(VerifyLedger, NamesASampleThatDidNotEnterAndOneThatDidInstead) {
  auto run = entries(3);
  const std::int64_t lost = run[1].micro_batches[2][0];
  const std::int64_t twice = run[0].micro_batches[0][0];
  run[1].micro_batches[2][0] = twice;
  EXPECT_THAT(verify(run).problems,
              ElementsAre(fmt::format("step 2: record {} did not enter", lost),
                          fmt::format("step 2: record {} entered, but has no place in this step", twice)));
  run[1].micro_batches[2].erase(run[1].micro_batches[2].begin());
  EXPECT_THAT(verify(run).problems, ElementsAre(fmt::format("step 2: record {} did not enter", lost)));
}

TEST_F(VerifyLedger, NoticesStepsThatAreMissingOrComeTwice) {
  auto run = entries(4);
  auto gap = run;
  gap.erase(gap.begin() + 1);
  EXPECT_THAT(verify(gap).problems, Contains(HasSubstr("entry 2 is of step 3")));
  EXPECT_THAT(verify(gap).problems, Contains(HasSubstr("step 3 begins at position 24")));
  auto twice = run;
  twice.insert(twice.begin() + 2, run[1]);
  EXPECT_THAT(verify(twice).problems, Contains(HasSubstr("entry 3 is of step 2")));
  auto shifted = run;
  shifted[0].position = 12;
  EXPECT_FALSE(verify(shifted).proven());
}

TEST_F(VerifyLedger, NoticesReplacementsThatAreNotTheRules) {
  auto run = entries(9);
  std::size_t step = 0;
  while (run[step].replacements.empty()) ++step;
  auto& replacement = run[step].replacements[0];
  const Replacement right = replacement;
  replacement.attempts = right.attempts + 1;
  EXPECT_THAT(verify(run).problems, Contains(HasSubstr("but the rule's attempt")));
  replacement = right;
  replacement.record = (right.record + 1) % kRecords;
  EXPECT_THAT(verify(run).problems, Contains(HasSubstr("which is not there")));
  replacement = right;
  replacement.attempts = std::int64_t{1} << 40;
  EXPECT_FALSE(verify(run).proven());
  run[step].replacements.erase(run[step].replacements.begin());
  EXPECT_THAT(verify(run).problems,
              Contains(HasSubstr(fmt::format("record {} did not enter", right.record))));
}

TEST_F(VerifyLedger, ASkippedSampleIsAccountedFor) {
  auto run = entries(1);
  for (auto& records : run[0].micro_batches)
    for (const auto& replacement : run[0].replacements) std::erase(records, replacement.substitute);
  for (auto& replacement : run[0].replacements) replacement.substitute = Replacement::kNothing;
  const LedgerProof proof = verify(run);
  EXPECT_TRUE(proof.proven());
  ASSERT_EQ(proof.epochs.size(), 1U);
  EXPECT_EQ(proof.epochs[0].absent.size(), run[0].replacements.size());
  EXPECT_THAT(proof.epochs[0].again, IsEmpty());
  EXPECT_EQ(proof.skipped, static_cast<std::int64_t>(run[0].replacements.size()));
}

TEST_F(VerifyLedger, AnOrderThatRepeatsItselfProvesNothing) {
  LedgerEntry entry{.step = 1, .position = 0, .places = 2, .micro_batches = {{7, 7}}, .replacements = {}};
  const auto file = directory_.path() / "ledger.bin";
  LedgerWriter(file, "", 0).append(entry);
  LedgerReader reader(file);
  const LedgerProof proof =
      verify_ledger(reader, {[](std::int64_t) { return 7; }, kRecords, kRecords, substitution_});
  EXPECT_THAT(proof.problems, ElementsAre("epoch 1: the order holds record 7 2 times"));
}

}  // namespace
}  // namespace vrwkv::data
