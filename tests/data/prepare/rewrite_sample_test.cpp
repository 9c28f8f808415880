// SPDX-License-Identifier: Apache-2.0
#include "data/prepare/rewrite_sample.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace vrwkv::data {
namespace {

using Json = nlohmann::ordered_json;

std::string rewritten(const std::string& text, const SamplePart& part, std::string_view id_suffix = "") {
  return rewrite_sample(text, part, id_suffix);
}

TEST(RewriteSample, CarriesOverEveryByteThatItDoesNotChange) {
  const std::string text = R"({ "id" : "a" , "n": [1.10, 1e400, -0, 18446744073709551615, {"x": "]},\"" } ],
    "conversations": [ {"from": "human", "w": 0.50, "value": "\u4e2d \"q\"\\"}, {"value": "\/ok", "from": "gpt"},
    {"value": "no", "from": "human"}, {"from": "gpt", "value": ""} ], "": {} , "l": [ ] , "image": null})";
  SamplePart part;
  part.rounds.push_back({.question = 0, .before = "", .behind = "\n\"x\""});
  EXPECT_EQ(
      rewritten(text, part),
      R"({"id":"a","n":[1.10,1e400,-0,18446744073709551615,{"x":"]},\""}],)"
      R"("conversations":[{"from":"human","w":0.50,"value":"\u4e2d \"q\"\\\n\"x\""},{"value":"\/ok","from":"gpt"}],)"
      R"("":{},"l":[],"image":null})");
}

TEST(RewriteSample, NamesThePartInEveryForm) {
  const std::string turns = R"("conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}])";
  SamplePart part;
  part.rounds.push_back({.question = 0, .before = "", .behind = ""});
  const auto named = [&](const std::string& keys) {
    return rewritten("{" + keys + "," + turns + "}", part, "#7-1");
  };
  EXPECT_EQ(named(R"("id":"a\"")"), R"({"id":"a\"#7-1",)" + turns + "}");
  EXPECT_EQ(named(R"("id":-3)"), R"({"id":"-3#7-1",)" + turns + "}");
  EXPECT_EQ(named(R"("id":17,"sample_id":"s")"), R"({"id":"17#7-1","sample_id":"s#7-1",)" + turns + "}");
  EXPECT_EQ(named(R"("id":[1],"sample_id":"s")"), R"({"id":[1],"sample_id":"s#7-1",)" + turns + "}");
  EXPECT_EQ(named(R"("\u0069d":"a")"), R"({"\u0069d":"a#7-1",)" + turns + "}") << "an escaped key";
}

TEST(RewriteSample, KeepsTheImagesOfThePart) {
  const auto image = [](const std::string& value, std::size_t images) {
    const std::string text =
        R"({"image": )" + value + R"(, "conversations": [{"value": "q"}, {"value": "a"}]})";
    SamplePart part;
    part.images = images;
    part.rounds.push_back({.question = 0, .before = "", .behind = ""});
    const Json json = Json::parse(rewritten(text, part));
    return json.contains("image") ? json["image"].dump() : "none";
  };
  EXPECT_EQ(image(R"("a,b")", 1), R"("a,b")");
  EXPECT_EQ(image(R"("a")", 0), "none");
  EXPECT_EQ(image(R"(["a", "b,\"]", "c"])", 2), R"(["a","b,\"]"])");
  EXPECT_EQ(image(R"(["a", "b"])", 2), R"(["a","b"])");
  EXPECT_EQ(image(R"(["a"])", 0), "none");
  EXPECT_EQ(image("[]", 0), "[]");
  EXPECT_EQ(image("null", 0), "null");
}

TEST(RewriteSample, OfARepeatedKeyTheLastCounts) {
  SamplePart part;
  part.rounds.push_back({.question = 0, .before = "<image>\n", .behind = ""});
  const Json json = Json::parse(rewritten(
      R"({"conversations": 3, "conversations": [{"value": 1, "value": "q", "from": "human"}, {"value": "a"}]})",
      part));
  EXPECT_EQ(json.dump(), R"({"conversations":[{"value":"<image>\nq","from":"human"},{"value":"a"}]})");
}

/// Draws samples of all kinds, from the same numbers on every machine.
class Samples {
 public:
  Json next() {
    Json sample = {{"id", below(100)}, {"extra", {{"n", below(1000)}}}};
    Json turns = Json::array(), images = Json::array();
    const std::uint32_t count = below(24);
    const bool has_images = below(2) == 1;
    for (std::uint32_t i = 0; i < count; ++i) {
      std::string text = i % 2 == 1 && below(4) == 0 ? "" : "text \"" + std::to_string(below(100)) + "\"\n\\";
      if (i % 2 == 0 && has_images && below(3) == 0) {
        text += "<image>";
        images.push_back("image " + std::to_string(images.size()));
      }
      if (i == 0 && below(2) == 0) text += kShortAnswerSentences[0];
      turns.push_back({{"from", i % 2 == 0 ? "human" : "gpt"}, {"value", text}});
    }
    if (!images.empty()) sample["image"] = images;
    sample["conversations"] = turns;
    return sample;
  }

 private:
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_()) % limit; }
  std::mt19937 random_{20230424};
};

TEST(RewriteSample, GivesPartsThatNeedNoPreparationAndLoseNothing) {
  Samples samples;
  const SplitRules rules{.most_rounds = 3};
  std::size_t parts = 0;
  for (int i = 0; i < 2000; ++i) {
    const Json sample = samples.next();
    SCOPED_TRACE(sample.dump());
    const Record record = parse_record(sample.dump(2), "x.json", 1, i);
    const SamplePlan plan = plan_sample(record, rules);
    ASSERT_EQ(plan.oddity, "");
    std::vector<std::string> answers;
    for (const SamplePart& part : plan.parts) {
      const std::string text = rewrite_sample(sample.dump(2), part, "#1-1");
      const Record prepared = parse_record(text, "x.json", 1, 0);
      EXPECT_TRUE(plan_sample(prepared, rules).is_as_it_was()) << text;
      EXPECT_EQ(plan_sample(prepared, rules).oddity, "") << text;
      EXPECT_EQ(Json::parse(text)["extra"], sample["extra"]);
      EXPECT_TRUE(std::equal(prepared.images.begin(), prepared.images.end(), record.images.begin()));
      for (std::size_t turn = 1; turn < prepared.turns.size(); turn += 2)
        answers.push_back(prepared.turns[turn].value);
      ++parts;
    }
    std::vector<std::string> expected;
    for (std::size_t turn = 1; turn < record.turns.size(); turn += 2)
      if (!record.turns[turn].value.empty()) expected.push_back(record.turns[turn].value);
    EXPECT_EQ(answers, expected);
  }
  EXPECT_GT(parts, 3000U);
}

}  // namespace
}  // namespace vrwkv::data
