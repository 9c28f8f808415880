// SPDX-License-Identifier: Apache-2.0
#include "trainer/eval/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "common/error.h"
#include "tests/trainer/checkpoint/shared_folder.h"
#include "tests/trainer/eval/answering_models.h"
#include "tests/trainer/tiny_run.h"

namespace vrwkv::eval {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr EvaluateOptions kShort = {.blank_images = false, .max_new_tokens = 3, .limit = 0};

/// Everything about an answer, comparable.
auto whole(const Answer& a) {
  return std::tuple(a.question, a.id, a.kind, a.image, a.prompt, a.text, a.truth, a.chance, a.correct);
}

std::vector<decltype(whole(Answer()))> whole(const std::vector<Answer>& answers) {
  std::vector<decltype(whole(Answer()))> result;
  for (const Answer& answer : answers) result.push_back(whole(answer));
  return result;
}

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() {
    if (world_.rank() == 0) {
      test::write_tiny_data(folder_.path(), 7);
      test::write_records(
          folder_.path() / "kinds.json",
          {question("color", 0.25, 0, "aaa"), question("count", 0.1, 1, "b"), question("color", 0.5, 1, "aa"),
           question("count", 0.1, 0, "aaa"), question("", 0, 0, "x")});
      test::write_records(folder_.path() / "unanswered.json",
                          {question("color", 0.5, 0, "aaa"),
                           R"({"id": "open", "conversations": [{"from": "human", "value": "What?"}]})"});
    }
    world_.barrier("questions");
  }

  static std::string question(const std::string& kind, double chance, std::int64_t images,
                              const std::string& answer) {
    std::string record = test::tiny_record(static_cast<std::uint64_t>(images), images, answer);
    if (!kind.empty()) record.insert(1, fmt::format(R"("kind": "{}", "chance": {}, )", kind, chance));
    return record;
  }

  std::vector<Answer> ask(const model::VisualRwkv& model, const std::string& file,
                          const EvaluateOptions& options, const mpi::Communicator& world) const {
    const data::SampleReader reader(tokenizer_, {data::ImagePlaces{folder_.path() / "images"}},
                                    {.image_sizes = model.image_sizes(),
                                     .tokens_per_image = test::kTokensPerImage,
                                     .conversation = {},
                                     .images = {},
                                     .cache = {}});
    return evaluate(model, reader, data::SampleFile::open(folder_.path() / file), options, world);
  }

  const mpi::Communicator world_ = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const mpi::Communicator alone_ = world_.split(world_.rank(), 0);
  const test::SharedFolder folder_{world_};
  const data::Tokenizer tokenizer_ = data::Tokenizer::load(test::vocabulary_file(), test::kTinyVocabulary);
};

TEST_F(EvaluateTest, EveryRankHasTheAnswersOfOneRankInFileOrder) {
  const model::VisualRwkv model = test::talking_model(/*seed=*/2);
  const auto together = ask(model, "mix.json", kShort, world_);
  ASSERT_THAT(together, SizeIs(7));
  EXPECT_EQ(whole(together), whole(ask(model, "mix.json", kShort, alone_)));
  for (std::size_t i = 0; i < together.size(); ++i) {
    EXPECT_EQ(together[i].question, i);
    EXPECT_EQ(together[i].id, "sample-" + std::to_string(i));
  }
}

// With more ranks than questions some have nothing to ask.
TEST_F(EvaluateTest, ALimitTakesTheFirstQuestions) {
  const model::VisualRwkv model = test::talking_model(/*seed=*/2);
  EvaluateOptions one = kShort;
  one.limit = 1;
  const auto answers = ask(model, "mix.json", one, world_);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(whole(answers[0]), whole(ask(model, "mix.json", kShort, world_)[0]));
  one.limit = 100;
  EXPECT_THAT(ask(model, "mix.json", one, world_), SizeIs(7));
}

TEST_F(EvaluateTest, BlankImagesChangeWhatIsSeenAndNothingElse) {
  const model::VisualRwkv model = test::talking_model(/*seed=*/2);
  const EvaluateOptions seeing = {.blank_images = false, .max_new_tokens = 12, .limit = 0};
  const EvaluateOptions blind = {.blank_images = true, .max_new_tokens = 12, .limit = 0};
  const auto seen = ask(model, "mix.json", seeing, world_);
  const auto unseen = ask(model, "mix.json", blind, world_);
  std::int64_t changed = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i].image.empty())
      EXPECT_EQ(whole(seen[i]), whole(unseen[i]));
    else
      changed += seen[i].text != unseen[i].text ? 1 : 0;
  }
  EXPECT_GT(changed, 0);
}

TEST_F(EvaluateTest, AnAnswerIsRightWhenItEqualsTheTruth) {
  const auto answers = ask(test::constant_model(test::token_of('a')), "kinds.json", kShort, world_);
  std::vector<bool> correct;
  for (const Answer& answer : answers) correct.push_back(answer.correct);
  EXPECT_THAT(correct, ElementsAre(true, false, false, true, false));
  EXPECT_EQ(answers[1].text, "aaa");
  EXPECT_EQ(answers[1].truth, "b");
  EXPECT_EQ(answers[1].image, "1.png");
  EXPECT_THAT(answers[1].prompt, HasSubstr("<image>\nWhat is "));
  EXPECT_THAT(answers[0].image, IsEmpty());
}

TEST_F(EvaluateTest, ScoresCountPerKindInOrderOfAppearance) {
  const auto scores = score(ask(test::constant_model(test::token_of('a')), "kinds.json", kShort, world_));
  ASSERT_THAT(scores, SizeIs(3));
  const auto counts = [](const KindScore& s) { return std::tuple(s.kind, s.questions, s.correct); };
  EXPECT_EQ(counts(scores[0]), std::tuple("color", 2, 1));
  EXPECT_EQ(counts(scores[1]), std::tuple("count", 2, 1));
  EXPECT_EQ(counts(scores[2]), std::tuple("question", 1, 0));
  EXPECT_DOUBLE_EQ(scores[0].chance, 0.375);
  EXPECT_DOUBLE_EQ(scores[1].chance, 0.1);
  EXPECT_DOUBLE_EQ(scores[0].accuracy(), 0.5);
  EXPECT_EQ(KindScore().accuracy(), 0.0);
}

TEST_F(EvaluateTest, ARecordWithoutAnAnswerIsRefusedOnAllRanks) {
  const auto model = test::constant_model(test::token_of('a'));
  EXPECT_THAT(message_of<Error>([&] { ask(model, "unanswered.json", kShort, world_); }),
              HasSubstr("sample 'open': no question with an answer"));
}

TEST(AnswerLine, IsTheFieldsAnswerFormatOnOneLine) {
  const Answer answer = {.question = 3,
                         .id = "q-3",
                         .kind = "color",
                         .image = "a.png",
                         .prompt = "Which\ncolor?",
                         .text = "r\xff \"x\"",
                         .truth = "red",
                         .chance = 0.5,
                         .correct = false};
  const std::string line = to_json(answer, "run/step-00000002");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("question_id"), "q-3");
  EXPECT_EQ(json.at("prompt"), "Which\ncolor?");
  EXPECT_EQ(json.at("text"), "r\xEF\xBF\xBD \"x\"");
  EXPECT_EQ(json.at("model_id"), "run/step-00000002");
  EXPECT_EQ(json.at("metadata").at("answer"), "red");
  EXPECT_EQ(json.at("metadata").at("correct"), false);
}

}  // namespace
}  // namespace vrwkv::eval
