// SPDX-License-Identifier: Apache-2.0
#include "data/text/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/file_system.h"
#include "data/text/python_text.h"
#include "data/text/sample_file.h"
#include "tests/data/data_test_support.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using test::tokenizer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Ids = std::vector<std::int64_t>;

Record record(std::vector<Turn> turns, std::vector<std::string> images = {}) {
  Record made;
  made.file = std::string("mix.json");
  made.id = std::string("s");
  made.has_image = !images.empty();
  made.images = std::move(images);
  made.turns = std::move(turns);
  return made;
}

std::string refusal(const Record& bad) {
  return message_of<DataError>([&] { encode_conversation(bad, tokenizer(), 4); });
}

TEST(PythonText, StripsEveryWhiteSpaceCharacterOfPython) {
  const std::string all =
      "\t\n\v\f\r\x1c\x1d\x1e\x1f "
      "\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
      "\u2028\u2029\u202f\u205f\u3000";
  EXPECT_EQ(strip(all + "a b" + all), "a b");
  EXPECT_EQ(strip(all), "");
  for (const std::string kept :
       {"\u200b", "\ufeff", "\u180e", "\u2060", "\u00a1", "\u2010", "\u3001", "\x1b", "\x7f"})
    EXPECT_EQ(strip(kept), kept);
}

TEST(PythonText, CollapsesOnlyWhatLiesBetweenNewlines) {
  EXPECT_EQ(collapse_blank_lines("a\n\nb"), "a\nb");
  EXPECT_EQ(collapse_blank_lines("a\n \u3000\n\t\r\n  b \n c"), "a\n  b \n c");
  EXPECT_EQ(collapse_blank_lines("a \n b\n"), "a \n b\n");
  EXPECT_EQ(collapse_blank_lines(""), "");
}

// Computed with the original's dataset.py.
TEST(Conversation, GoldenSample) {
  const auto encoded = encode_conversation(record({{"human", "What color is the car?\n<image>"},
                                                   {"gpt", "Red."},
                                                   {"human", "How many wheels?"},
                                                   {"gpt", "Four"}},
                                                  {"car.jpg"}),
                                           tokenizer(), 4);
  const Ids ids = {24281, 59,    33,    65535, 65535, 65535, 65535, 11,    24326, 38083, 4600,
                   22590, 21415, 64,    261,   5585,  41693, 59,    20733, 47,    261,   24281,
                   59,    20063, 31370, 47784, 64,    261,   5585,  41693, 59,    28918, 261};
  Ids labels(ids.size(), kIgnoreIndex);
  for (const std::size_t i : {18, 19, 20, 31, 32}) labels[i] = ids[i];
  EXPECT_EQ(encoded.token_ids, ids);
  EXPECT_EQ(encoded.labels, labels);
  EXPECT_THAT(encoded.image_starts, ElementsAre(3));
  EXPECT_EQ(encoded.targets, 5);
}

// tools/fixtures/conversations.py ran the original's code on these.
TEST(Conversation, EqualsTheOriginalOnRandomConversations) {
  const auto path = test::fixtures() / "conversations.json";
  const auto expected = nlohmann::json::parse(read_file(path));
  const auto file = SampleFile::open(path);
  ASSERT_EQ(file.size(), static_cast<std::int64_t>(expected.size()));
  for (std::int64_t i = 0; i < file.size(); ++i) {
    const auto encoded = encode_conversation(file.read(i), tokenizer(), 3);
    const auto& answer = expected[static_cast<std::size_t>(i)]["expected"];
    ASSERT_EQ(encoded.token_ids, answer["token_ids"].get<Ids>()) << file.read(i).id;
    Ids labels(encoded.token_ids.size(), kIgnoreIndex);
    for (const auto& range : answer["supervised"])
      for (std::size_t at = range[0]; at < range[1]; ++at) labels[at] = encoded.token_ids[at];
    EXPECT_EQ(encoded.labels, labels) << file.read(i).id;
    EXPECT_EQ(encoded.image_starts.size(), file.read(i).images.size());
    for (const std::int64_t start : encoded.image_starts) {
      EXPECT_EQ(encoded.token_ids[static_cast<std::size_t>(start)], kImageToken);
      EXPECT_EQ(encoded.token_ids[static_cast<std::size_t>(start) + 2], kImageToken);
    }
  }
}

TEST(Conversation, SpeakersMayBeWrittenInAnyCaseAndQuestionsAreMaskedAllTheSame) {
  const auto plain = encode_conversation(record({{"human", "Hi"}, {"gpt", "Ho"}}), tokenizer(), 4);
  const auto shouted = encode_conversation(record({{"Human", "Hi"}, {"GPT", "Ho"}}), tokenizer(), 4);
  EXPECT_EQ(shouted.token_ids, plain.token_ids);
  EXPECT_EQ(shouted.labels, plain.labels);
}

TEST(Conversation, AMarkIsTextWhereThereIsNoImage) {
  const auto encoded = encode_conversation(record({{"human", "<image>"}, {"gpt", "Ho"}}), tokenizer(), 4);
  EXPECT_THAT(encoded.image_starts, IsEmpty());
  EXPECT_EQ(tokenizer().decode(encoded.token_ids), "User: <image>\n\nAssistant: Ho\n\n");
}

TEST(Conversation, AMarkThatRemovingAnotherLeavesBehindIsText) {
  const auto encoded =
      encode_conversation(record({{"human", "<im<image>age>"}, {"gpt", "Ho"}}, {"a.jpg"}), tokenizer(), 1);
  EXPECT_THAT(encoded.image_starts, ElementsAre(3));
  EXPECT_EQ(tokenizer().decode(std::span(encoded.token_ids).subspan(4)), "\n<image>\n\nAssistant: Ho\n\n");
}

TEST(Conversation, TruncatedVocabularyMasksTheOpeningOfAnswers) {
  for (const std::int64_t size : {262, 1000, 4096}) {
    const Tokenizer small = Tokenizer::load(test::vocabulary_file(), size);
    const auto encoded = encode_conversation(record({{"human", "Hi"}, {"gpt", "Ho"}}), small, 4);
    Ids supervised;
    for (const std::int64_t label : encoded.labels)
      if (label != kIgnoreIndex) supervised.push_back(label);
    EXPECT_EQ(small.decode(supervised), " Ho\n\n") << size;
  }
}

TEST(Conversation, RefusesWhatCannotBeRendered) {
  EXPECT_EQ(refusal(record({{"human", "<image>Hi"}, {"gpt", "Ho"}}, {"a.jpg", "b.jpg"})),
            "mix.json: sample 's': 2 image files but 1 <image> mark (features would be misplaced). "
            "Fix or drop the sample.");
  EXPECT_EQ(refusal(record({{"human", "<image><image>Hi"}, {"gpt", "Ho"}}, {"a.jpg"})),
            "mix.json: sample 's': 1 image file but 2 <image> marks (features would be misplaced). "
            "Fix or drop the sample.");
  EXPECT_EQ(
      refusal(record({{"human", "Hi"}, {"gpt", "<image>Ho"}}, {"a.jpg"})),
      "mix.json: sample 's': 1 <image> mark in an answer (only questions hold images; features would be "
      "misplaced). Fix or drop the sample.");
  EXPECT_EQ(refusal(record({{"system", "Hi"}})),
            "mix.json: sample 's': unknown speaker 'system' (it is neither 'human' nor 'gpt'). Fix or drop "
            "the sample.");
  EXPECT_EQ(refusal(record({})),
            "mix.json: sample 's': the conversation has no turns (there is nothing to train on). "
            "Fix or drop the sample.");
}

TEST(Prompt, OpensTheAnswerAfterImagesAndQuestion) {
  const auto encoded = encode_prompt(" <image>\nWhat is this?\n\n", 1, tokenizer(), 2);
  EXPECT_EQ(encoded.token_ids,
            (Ids{24281, 59, 33, 65535, 65535, 11, 24326, 4600, 32234, 64, 261, 5585, 41693, 59}));
  EXPECT_EQ(encoded.labels, Ids(encoded.token_ids.size(), kIgnoreIndex));
  EXPECT_THAT(encoded.image_starts, ElementsAre(3));
  EXPECT_EQ(tokenizer().decode(encode_prompt("Hello <image>", 0, tokenizer(), 2).token_ids),
            "User: Hello <image>\n\nAssistant:");
}

/// Each mark that is erased in place would move all that follow.
TEST(Conversation, TakesMegabytesOfMarks) {
  std::string marks;
  constexpr std::int64_t kMarks = 1'200'000;
  for (std::int64_t i = 0; i < kMarks; ++i) marks += "<image>";
  EXPECT_THAT(refusal(record({{"human", marks + "x"}, {"gpt", "y"}}, {"a.jpg"})),
              HasSubstr("1 image file but 1200000 <image> marks"));
  const auto encoded = encode_prompt("a" + marks + "b", 1, tokenizer(), 0);
  EXPECT_EQ(encoded.token_ids, encode_prompt("ab", 1, tokenizer(), 0).token_ids);
}

TEST(Conversation, WhatClosesUpAroundAMarkIsNone) {
  Ids expected;
  for (const std::string text : {"User: ", "\n<image>\n\n", "Assistant:"}) tokenizer().encode(text, expected);
  EXPECT_EQ(encode_prompt("<im<image>age>", 1, tokenizer(), 0).token_ids, expected);
}

class TrainingDefect : public ::testing::Test {
 protected:
  static Encoded encode(std::vector<Turn> turns, std::vector<std::string> images = {}) {
    return encode_conversation(record(std::move(turns), std::move(images)), tokenizer(), 4);
  }
  static std::string defect(const Encoded& encoded, std::int64_t context_length = 100) {
    return training_defect(shape_of(encoded, 4), context_length, 4);
  }
};

TEST_F(TrainingDefect, NamesWhatShouldNotBeTrainedOn) {
  EXPECT_EQ(defect(encode({{"human", "Hi"}, {"gpt", "Ho"}})), "");
  EXPECT_EQ(defect(encode({{"human", "Hi"}, {"gpt", " \n"}, {"human", "Hi"}, {"gpt", "Ho"}})),
            "1 answer without text (it would teach to leave answers out). Fix or drop the sample.");
  EXPECT_EQ(defect(encode({{"human", "Hi"}})), "no answer to learn from. Fix or drop the sample.");
}

TEST_F(TrainingDefect, ACutMustLeaveImagesWholeAndSomethingToLearn) {
  // User, :, space, image x 4, \n, Hi, \n\n (10 tokens), Assistant: (13), answer, \n\n (15)
  const auto encoded = encode({{"human", "<image>Hi"}, {"gpt", "Ho"}}, {"a.jpg"});
  ASSERT_EQ(encoded.token_ids.size(), 15U);
  EXPECT_EQ(defect(encoded, 15), "");
  EXPECT_EQ(defect(encoded, 14), "");
  EXPECT_EQ(defect(encoded, 13),
            "the context of 13 tokens ends before the first answer (nothing is left to learn). "
            "Raise [data] context_length or drop the sample.");
  EXPECT_EQ(defect(encoded, 6),
            "the image at token 3 reaches beyond the context of 6 tokens (the model would see a part of it). "
            "Raise [data] context_length or drop the sample.");
}

TEST_F(TrainingDefect, ACutMayRemoveALaterImageWhole) {
  auto encoded = encode({{"human", "<image>Hi"}, {"gpt", "Ho"}, {"human", "<image>"}, {"gpt", "Ho"}},
                        {"a.jpg", "b.jpg"});
  ASSERT_THAT(encoded.image_starts, ElementsAre(3, 18));
  EXPECT_EQ(defect(encoded, 18), "");
  EXPECT_NE(defect(encoded, 19), "");
  EXPECT_FALSE(cut_to_context(encoded, static_cast<std::int64_t>(encoded.token_ids.size())));
  EXPECT_TRUE(cut_to_context(encoded, 14));
  EXPECT_EQ(encoded.token_ids.size(), 14U);
  EXPECT_EQ(encoded.labels.size(), 14U);
  EXPECT_THAT(encoded.image_starts, ElementsAre(3));
  EXPECT_EQ(encoded.targets, 1);
}

TEST_F(TrainingDefect, ImagesMayBeExpandedLater) {
  const auto sample =
      record({{"human", "<image>Hi<image>"}, {"gpt", "Ho"}, {"human", "<image>"}, {"gpt", "Hey"}},
             {"a.jpg", "b.jpg", "c.jpg"});
  const auto whole = encode_conversation(sample, tokenizer(), 4);
  const auto text = encode_conversation(sample, tokenizer(), 0);
  const auto length = static_cast<std::int64_t>(whole.token_ids.size());
  for (std::int64_t context = 1; context <= length + 1; ++context) {
    auto cut = whole;
    auto expanded = expand_images(text, 4, context);
    EXPECT_EQ(cut_to_context(expanded, context), cut_to_context(cut, context)) << context;
    EXPECT_EQ(expanded.token_ids, cut.token_ids) << context;
    EXPECT_EQ(expanded.labels, cut.labels) << context;
    EXPECT_EQ(expanded.image_starts, cut.image_starts) << context;
    EXPECT_EQ(expanded.targets, cut.targets) << context;
  }
}

}  // namespace
}  // namespace vrwkv::data
