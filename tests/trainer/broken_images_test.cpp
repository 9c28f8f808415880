// SPDX-License-Identifier: Apache-2.0
// One image in a hundred is broken, each in another way: the run goes on, says so, and keeps its bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/ledger_order.h"
#include "tests/trainer/trainer_run.h"

namespace vrwkv::trainer {
namespace {

namespace fs = std::filesystem;
using test::write_file;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kSamples = 1000;
constexpr std::uint64_t kEvery = 100;

class BrokenImages : public test::TrainerRunTest {
 protected:
  BrokenImages() {
    if (world_.rank() == 0) {
      break_images();
      std::vector<std::string> records;
      for (std::uint64_t i = 0; i < kSamples; ++i) {
        std::string record =
            test::tiny_record(i, i % kEvery == 7 ? 1 : static_cast<std::int64_t>(mix64(i + 1) % 3),
                              std::string(1 + mix64(i + 100) % 9, 'a'));
        if (i % kEvery == 7) {
          const std::string good = fmt::format("\"{}.png\"", i % 5);
          record.replace(record.find(good), good.size(), fmt::format("\"broken-{}.png\"", i / kEvery));
        }
        records.push_back(record);
      }
      test::write_records(folder_.path() / "mix.json", records);
    }
    world_.barrier("broken images");
  }

  /// Ten files that are no pictures; one of them is not there.
  void break_images() const {
    const fs::path images = folder_.path() / "images";
    const std::string whole = read_file(images / "0.png");
    const auto broken = [&](int number) { return images / fmt::format("broken-{}.png", number); };
    write_file(broken(1), "");
    write_file(broken(2), "<html>404 Not Found</html>");
    write_file(broken(3), whole.substr(0, whole.size() / 2));
    std::string flipped = whole;
    flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 0x55);
    write_file(broken(4), flipped);
    fs::create_directory(broken(5));
    std::string huge = whole;
    huge[16] = '\x7f';  // the width's first byte
    write_file(broken(6), huge);
    write_file(broken(7), "GIF89a");
    write_file(broken(8), "\xff\xd8\xff\xe0 no more of a JPEG");
    write_file(broken(9), std::string("RIFF\x10\0\0\0WEBPVP8 \0\0\0\0", 20));
  }

  const std::vector<std::string> settings_ = {"train.global_batch_size=100", "train.micro_batch_size=25",
                                              "train.steps=10"};
};

TEST_F(BrokenImages, AreReplacedNamedAndListedAndTheBitsAreTheSameOnAnyRanks) {
  train_alone("alone", settings_);
  train("together", settings_);
  expect_equal_runs("alone", "together");
  if (world_.rank() == 0) {
    const fs::path run = run_folder("together");
    EXPECT_EQ(read_file(run_folder("alone") / "ledger.bin"), read_file(run / "ledger.bin"));
    std::set<std::int64_t> broken, in_ledger, in_quarantine;
    for (std::uint64_t i = 7; i < kSamples; i += kEvery) broken.insert(static_cast<std::int64_t>(i));
    data::LedgerReader reader(run / "ledger.bin");
    while (const auto entry = reader.next()) {
      for (const auto& one : entry->replacements) in_ledger.insert(one.record);
      for (const auto& records : entry->micro_batches)
        for (const std::int64_t record : records) EXPECT_FALSE(broken.contains(record)) << record;
    }
    const auto quarantine = data::Quarantine::read(run / "quarantine.json");
    for (const auto& [record, sample] : quarantine.samples()) {
      in_quarantine.insert(record);
      EXPECT_THAT(sample.reason,
                  AllOf(HasSubstr(fmt::format("sample 'sample-{}'", record)), HasSubstr("broken-")));
    }
    EXPECT_EQ(in_ledger, broken);
    EXPECT_EQ(in_quarantine, broken);
    data::LedgerReader again(run / "ledger.bin");
    const data::LedgerProof proof = data::verify_ledger(again, data::ledger_order(again.header()));
    EXPECT_THAT(proof.problems, IsEmpty());
    EXPECT_EQ(proof.whole_passes, 1);
    EXPECT_EQ(proof.replaced, 10);
    for (const auto& row : test::metrics_of(run)) EXPECT_EQ(row.at("samples"), 100);
  }
  world_.barrier("verification");
}

// What one run has learned another one need not find out, and its steps are dealt with what is known.
TEST_F(BrokenImages, AreLeftOutFromTheBeginningByTheListOfAnEarlierRun) {
  train("first", settings_);
  std::vector<std::string> with_list = settings_;
  with_list.insert(with_list.end(), {"data.quarantine=first/quarantine.json", "data.on_bad_sample=stop"});
  train("second", with_list);
  if (world_.rank() == 0) {
    EXPECT_FALSE(fs::exists(run_folder("second") / "quarantine.json")) << "nothing new was found";
    data::LedgerReader reader(run_folder("second") / "ledger.bin");
    const data::LedgerProof proof = data::verify_ledger(reader, data::ledger_order(reader.header()));
    EXPECT_TRUE(proof.proven());
    EXPECT_EQ(proof.replaced, 10);
  }
  world_.barrier("verification");
}

TEST_F(BrokenImages, MoreThanTheBudgetEndTheRunWithTheList) {
  std::vector<std::string> with_budget = settings_;
  with_budget.insert(with_budget.end(), {"data.max_bad_samples=3", "checkpoint.every_steps=0"});
  EXPECT_THAT(test::message_of<Error>([&] { train("run", with_budget); }),
              AllOf(HasSubstr("max_bad_samples = 3"), HasSubstr("quarantine.json")));
  const fs::path list = run_folder("run") / "quarantine.json";
  const std::string found = read_file(list);
  EXPECT_THAT(data::Quarantine::read(list).samples(), SizeIs(::testing::Ge(4)));
  // What the message says can be done in the same folder, and the list stays.
  const auto with_list = [&](const std::string& name) {
    auto with = with_budget;
    with.push_back("data.quarantine=" + name);
    return with;
  };
  EXPECT_THAT(test::message_of<Error>([&] { train("run", with_list("run/quarantine.json")); }),
              HasSubstr("Copy it, and name the copy."));
  EXPECT_EQ(read_file(list), found);
  if (world_.rank() == 0) fs::copy_file(list, folder_.path() / "copy.json");
  world_.barrier("copy");
  EXPECT_EQ(train("run", with_list("copy.json"), test::until(1)).step, 1);
  EXPECT_EQ(read_file(list), found);
}

}  // namespace
}  // namespace vrwkv::trainer
