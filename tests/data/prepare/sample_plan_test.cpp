// SPDX-License-Identifier: Apache-2.0
#include "data/prepare/sample_plan.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrwkv::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kShort = "Answer the question using a single word or phrase.";

/// Questions and answers in turn.
Record record_of(const std::vector<std::string>& texts, const std::vector<std::string>& images = {}) {
  Record record;
  record.images = images;
  record.has_image = !images.empty();
  for (std::size_t i = 0; i < texts.size(); ++i)
    record.turns.push_back({i % 2 == 0 ? "human" : "gpt", texts[i]});
  return record;
}

/// Each part as "images: turn, turn, ..." with what is written before and behind a question.
std::vector<std::string> parts_of(const Record& record, std::int64_t most_rounds) {
  SplitRules rules;
  rules.most_rounds = most_rounds;
  std::vector<std::string> parts;
  for (const SamplePart& part : plan_sample(record, rules).parts) {
    std::string text = fmt::format("{}:", part.images);
    for (const PlannedRound& round : part.rounds)
      text += fmt::format(" {}[{}]{}", round.before, round.question, round.behind);
    parts.push_back(text);
  }
  return parts;
}

SamplePlan plan_of(const Record& record) { return plan_sample(record, {}); }

TEST(SamplePlan, LeavesAShortConversationAsItWas) {
  const SamplePlan plan = plan_of(record_of({"<image>\nWhat?", "A cat."}, {"1.jpg"}));
  EXPECT_TRUE(plan.is_as_it_was());
  EXPECT_EQ(plan.oddity, "");
}

TEST(SamplePlan, SplitsAndShowsTheImageAgain) {
  const Record record =
      record_of({std::string("<image>\nOne?\n") + kShort, "1", "Two?", "2", "Three?", "3"}, {"1.jpg"});
  EXPECT_THAT(parts_of(record, 2), ElementsAre("1: [0] [2]", fmt::format("1: <image>\n[4]\n{}", kShort)));
  EXPECT_THAT(parts_of(record, 3), ElementsAre("1: [0] [2] [4]"));
}

TEST(SamplePlan, GivesASampleWithoutImageNoMark) {
  EXPECT_THAT(parts_of(record_of({"One?", "1", "<image>?", "2"}), 1), ElementsAre("0: [0]", "0: [2]"));
}

TEST(SamplePlan, ShowsAPartWhatWasShownByThen) {
  const Record record =
      record_of({"First <image>", "1", "Second <image><image>", "2", "Third", "3"}, {"a", "b", "c"});
  EXPECT_THAT(parts_of(record, 1),
              ElementsAre("1: [0]", "3: <image>\n[2]", "3: <image>\n<image>\n<image>\n[4]"));
  EXPECT_THAT(parts_of(record_of({"Hello", "1", "Look: <image>", "2"}, {"a"}), 1),
              ElementsAre("0: [0]", "1: [2]"));
}

TEST(SamplePlan, LeavesOutQuestionsWithoutAnswerButNotTheirImages) {
  const Record record =
      record_of({"<image>\nOne?", "", "Two?", "2", "Three?", " \n\xe3\x80\x80", "Four?"}, {"a"});
  EXPECT_THAT(parts_of(record, 5), ElementsAre("1: <image>\n[2]"));
  EXPECT_EQ(plan_of(record).dropped_rounds, 3);
  EXPECT_FALSE(plan_of(record).is_as_it_was());
  EXPECT_THAT(parts_of(record_of({"One?", "1", "<image>", "", "Three?", "3"}, {"a"}), 5),
              ElementsAre("1: [0] <image>\n[4]"));
  EXPECT_THAT(parts_of(record_of({"<image>", "1", "<image>", ""}, {"a", "b"}), 5), ElementsAre("1: [0]"))
      << "nobody asks about the second image";
}

TEST(SamplePlan, CarriesTheSentenceOfAQuestionThatIsLeftOut) {
  const Record record = record_of({fmt::format("One? {}", kShort), "", "Two?", "2"});
  EXPECT_THAT(parts_of(record, 5), ElementsAre(fmt::format("0: [2]\n{}", kShort)));
}

TEST(SamplePlan, CarriesASentenceOnlyWhereItIsMissing) {
  const std::string letter = "Answer with the option's letter from the given choices directly.";
  EXPECT_THAT(parts_of(record_of({"One? " + letter, "A", "Two? " + letter, "B", "Three?", "C"}), 1),
              ElementsAre("0: [0]", "0: [2]", "0: [4]\n" + letter));
  EXPECT_THAT(parts_of(record_of({"One?", "1", fmt::format("Two? {}", kShort), "2", "Three?", "3"}), 1),
              ElementsAre("0: [0]", "0: [2]", "0: [4]"))
      << "only the first question speaks for all";
}

TEST(SamplePlan, HasNoPartWhenNothingIsAnswered) {
  for (const auto& record : {record_of({}), record_of({"One?"}), record_of({"One?", "", "Two?", " "})}) {
    const SamplePlan plan = plan_of(record);
    EXPECT_THAT(plan.parts, IsEmpty());
    EXPECT_EQ(plan.oddity, "");
    EXPECT_FALSE(plan.is_as_it_was());
  }
}

TEST(SamplePlan, TakesAnySpellingOfASpeaker) {
  Record record = record_of({"One?", "1", "Two?", "2"});
  record.turns[1].from = "GPT";
  record.turns[2].from = "Human";
  EXPECT_THAT(parts_of(record, 1), ElementsAre("0: [0]", "0: [2]"));
}

TEST(SamplePlan, PassesOnWhatIsOdd) {
  Record out_of_turn = record_of({"One?", "1", "Two?", "2"});
  out_of_turn.turns[0].from = "gpt";
  EXPECT_EQ(plan_of(out_of_turn).oddity, "turn 1 is by 'gpt' (human and gpt should alternate)");
  EXPECT_EQ(plan_of(record_of({"<image>", "", "Two?", "2"}, {"a", "b"})).oddity,
            "it has 2 image files and 1 <image> marks");
  EXPECT_EQ(plan_of(record_of({"One?", "<image>"}, {"a"})).oddity,
            "turn 2 is an answer with an <image> mark");
  EXPECT_TRUE(plan_of(out_of_turn).is_as_it_was());
  EXPECT_EQ(plan_of(record_of(std::vector<std::string>(2 * (5 * kMostParts + 1), "x"))).oddity,
            "it would become 1025 samples with up to 0 images (at most 1024 of either are made)");
  EXPECT_EQ(plan_of(record_of(std::vector<std::string>(2 * 5 * kMostParts, "x"))).parts.size(), kMostParts);
  EXPECT_EQ(plan_of(out_of_turn).dropped_rounds, 0);
}

}  // namespace
}  // namespace vrwkv::data
