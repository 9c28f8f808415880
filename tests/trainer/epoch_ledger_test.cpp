// SPDX-License-Identifier: Apache-2.0
// The ledger of a whole epoch of the mixture's 665,298 samples, of which one in a hundred is bad, planned
// step by step without a model; and a resume at a thousand of its steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "common/file_system.h"
#include "data/ledger_order.h"
#include "tests/support/mixture_lengths.h"
#include "tests/support/temporary_directory.h"
#include "trainer/sample_accounts.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

constexpr std::uint64_t kSeed = 42;
constexpr std::int64_t kBadEvery = 100;

/// The order of the whole mixture and steps of 150,000 tokens in it, as each process has them.
class PlannedRun {
 public:
  data::StepPlan plan(std::int64_t position) const { return planner_.plan(position); }
  std::string header() const {
    return data::ledger_header(order_, kSeed, data::SampleOrder::kBijection, /*fingerprint=*/7);
  }
  data::LedgerEntry entry(std::int64_t step, const data::StepPlan& plan) const {
    std::vector<data::Replacement> replacements;
    for (const auto& samples : plan.micro_batches)
      for (const auto& sample : samples)
        if (sample.attempt > 0)
          replacements.push_back(
              {sample.position - plan.position, order_.at(sample.position), sample.attempt, sample.record});
    return ledger_entry(step, plan, std::move(replacements));
  }

 private:
  static data::SampleOutline outline_of(std::int64_t record) {
    const auto [text, images] = test::mixture_length(record);
    return {std::min<std::int64_t>(text + 1024 * images, 2048), images, record % kBadEvery == 13};
  }
  const data::MixtureOrder order_{
      {{test::kMixtureSamples, test::kMixtureSamples, true}}, kSeed, data::SampleOrder::kBijection};
  const data::StepPlanner planner_{[this](std::int64_t position) { return order_.at(position); },
                                   outline_of,
                                   data::Substitution(test::kMixtureSamples),
                                   {.tokens = 150'000, .micro_batches = 32, .image_cost = 360}};
};

class EpochLedger : public ::testing::Test {
 protected:
  EpochLedger() {
    const PlannedRun run;
    data::LedgerWriter writer(file_, run.header(), 0);
    for (std::int64_t position = 0; position < test::kMixtureSamples;) {
      const data::StepPlan plan = run.plan(position);
      writer.append(run.entry(static_cast<std::int64_t>(positions_.size()), plan));
      position += plan.samples;
      positions_.push_back(position);
    }
  }
  std::int64_t steps() const { return static_cast<std::int64_t>(positions_.size()) - 1; }

  test::TemporaryDirectory directory_;
  const fs::path file_ = directory_.path() / "ledger.bin";
  std::vector<std::int64_t> positions_ = {0};  ///< after each step: what its checkpoint would hold
};

TEST_F(EpochLedger, ProvesThatEverySampleEnteredOnce) {
  data::LedgerReader reader(file_);
  const data::LedgerProof proof = data::verify_ledger(reader, data::ledger_order(reader.header()));
  EXPECT_THAT(proof.problems, IsEmpty());
  EXPECT_EQ(proof.steps, steps());
  EXPECT_EQ(proof.whole_passes, 1);
  EXPECT_EQ(proof.places, positions_.back());
  EXPECT_NEAR(static_cast<double>(proof.replaced), test::kMixtureSamples / kBadEvery, 100);
  EXPECT_LT(fs::file_size(file_), 3.6 * test::kMixtureSamples)
      << "a record number is three bytes; micro-batches, replacements and heads are the rest";
}

/// From the last to the first, so that each resume finds the steps before it and one behind it to cut off.
TEST_F(EpochLedger, GoesOnAlikeAtAThousandRandomSteps) {
  const std::string whole = read_file(file_);
  std::set<std::int64_t, std::greater<>> completed;
  for (std::uint64_t i = 0; completed.size() < 1000; ++i)
    completed.insert(1 + static_cast<std::int64_t>(mix64(i + 1) % static_cast<std::uint64_t>(steps() - 1)));
  for (const std::int64_t step : completed) {
    const PlannedRun resumed;
    data::LedgerWriter writer(file_, resumed.header(), step);
    const std::uint64_t cut = fs::file_size(file_);
    const data::StepPlan plan = resumed.plan(positions_[static_cast<std::size_t>(step)]);
    ASSERT_EQ(plan.position + plan.samples, positions_[static_cast<std::size_t>(step) + 1]);
    writer.append(resumed.entry(step + 1, plan));
    const std::uint64_t size = fs::file_size(file_);
    std::ifstream stream(file_, std::ios::binary);
    std::string added(size - cut, '\0');
    stream.seekg(static_cast<std::streamoff>(cut))
        .read(added.data(), static_cast<std::streamsize>(added.size()));
    ASSERT_TRUE(added == std::string_view(whole).substr(cut, size - cut)) << "after step " << step;
  }
}

}  // namespace
}  // namespace vrwkv::trainer
