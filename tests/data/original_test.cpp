// SPDX-License-Identifier: Apache-2.0
// The original's own code on random conversations, and its order of samples
// (tools/fixtures/original_conversations.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/file_system.h"
#include "data/sampler.h"
#include "data/text/conversation.h"
#include "data/text/sample_file.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

Json read_json(const char* name) { return Json::parse(read_file(test::fixtures() / name)); }

Ids expected_labels(const Json& expected) {
  Ids labels = expected["token_ids"];
  const std::string learned = expected["learned"];
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (learned[i] == '0') labels[i] = kIgnoreIndex;
  return labels;
}

TEST(Original, TokensAndLabelsAreEqual) {
  const Json fixture = read_json("original_conversations.json");
  const std::int64_t tokens_per_image = fixture["tokens_per_image"];
  Json records = Json::array();
  for (const Json& expected : fixture["cases"]) records.push_back(expected["record"]);
  const test::TemporaryDirectory folder;
  const SampleFile file = SampleFile::open(test::write_file(folder.path() / "mix.json", records.dump()));
  ASSERT_EQ(file.size(), 200);
  for (std::int64_t i = 0; i < file.size(); ++i) {
    const Json& expected = fixture["cases"][static_cast<std::size_t>(i)];
    Encoded encoded = encode_conversation(file.read(i), test::tokenizer(), tokens_per_image,
                                          ConversationRules::kVisualRwkv);
    EXPECT_EQ(encoded.token_ids, Ids(expected["token_ids"])) << i;
    EXPECT_EQ(encoded.labels, expected_labels(expected)) << i;
  }
}

TEST(Original, OrdinarySpeakersAreLabelledAlikeByTheStrictRules) {
  const Json fixture = read_json("original_conversations.json");
  const test::TemporaryDirectory folder;
  std::size_t compared = 0;
  for (const Json& expected : fixture["cases"]) {
    bool ordinary = true;
    for (const Json& turn : expected["record"]["conversations"])
      ordinary = ordinary && (turn["from"] == "human" || turn["from"] == "gpt");
    if (!ordinary) continue;
    const std::string text = Json::array({expected["record"]}).dump();
    const SampleFile file = SampleFile::open(test::write_file(folder.path() / "one.json", text));
    const Encoded encoded = encode_conversation(file.read(0), test::tokenizer(), fixture["tokens_per_image"]);
    EXPECT_EQ(encoded.labels, expected_labels(expected));
    ++compared;
  }
  EXPECT_GT(compared, 80U);
}

TEST(Original, SamplesComeInItsOrder) {
  const Json orders = read_json("original_order.json");
  for (const auto& [samples, order] : orders.items()) {
    const Sampler sampler(std::stoll(samples), /*seed=*/7, SampleOrder::kVisualRwkv);
    for (std::size_t i = 0; i < order["positions"].size(); ++i)
      EXPECT_EQ(sampler.at(order["positions"][i]), order["samples"][i])
          << samples << " at " << order["positions"][i];
  }
}

TEST(Original, OrderNeedsThreeSamples) {
  EXPECT_THROW(Sampler(2, 0, SampleOrder::kVisualRwkv), ConfigError);
  EXPECT_EQ(Sampler(3, 0, SampleOrder::kVisualRwkv).at(1), 1);
}

TEST(Original, KeepsSamplesWithoutATarget) {
  const Json record = {
      {"id", "x"},
      {"conversations", {{{"from", "human"}, {"value", "Hi"}}, {{"from", "gpt"}, {"value", ""}}}}};
  const test::TemporaryDirectory folder;
  const SampleFile file =
      SampleFile::open(test::write_file(folder.path() / "one.json", Json::array({record}).dump()));
  const Encoded encoded =
      encode_conversation(file.read(0), test::tokenizer(), 4, ConversationRules::kVisualRwkv);
  EXPECT_EQ(encoded.targets, 0);
  EXPECT_EQ(training_defect(shape_of(encoded, 4), 100, 4, ConversationRules::kVisualRwkv), "");
  EXPECT_NE(training_defect(shape_of(encoded, 4), 100, 4, ConversationRules::kStrict), "");
}

}  // namespace
}  // namespace vrwkv::data
