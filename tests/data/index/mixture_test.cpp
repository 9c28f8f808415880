// SPDX-License-Identifier: Apache-2.0
#include "data/index/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using test::tokenizer;
using ::testing::HasSubstr;

constexpr const char* kText = R"({"id": "text", "conversations": [{"from": "human", "value": "Hi"}, )"
                              R"({"from": "gpt", "value": "one two three"}]})";
constexpr const char* kImage = R"({"id": "image", "image": "1.png", "conversations": [{"from": "human", )"
                               R"("value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]})";
constexpr const char* kNoMark = R"({"id": "no mark", "image": "1.png", "conversations": [{"from": "human", )"
                                R"("value": "What?"}, {"from": "gpt", "value": "It."}]})";
constexpr const char* kEmpty = R"({"id": "empty", "conversations": [{"from": "human", "value": "Hi"}, )"
                               R"({"from": "gpt", "value": ""}]})";
constexpr const char* kTwoImages =
    R"({"id": "two", "image": ["1.png", "2.png"], "conversations": [{"from": "human", "value": "<image>Hi"},)"
    R"( {"from": "gpt", "value": "Ho"}, {"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Ho"}]})";

class MixtureTest : public ::testing::Test {
 protected:
  DataSource source(const std::string& name, const std::vector<std::string>& samples, double weight = 1) {
    std::string array = "[";
    for (const std::string& sample : samples) array += (array.size() == 1 ? "" : ",\n") + sample;
    return {test::write_file(directory_.path() / name, array + "]"), {directory_.path() / "images"}, weight};
  }
  Mixture mixture(const std::vector<DataSource>& sources) { return {sources, tokenizer(), view_}; }

  test::TemporaryDirectory directory_;
  MixtureView view_{.context_length = 100, .tokens_per_image = 4, .takes_images = true, .conversation = {}};
};

TEST_F(MixtureTest, NumbersSamplesThroughItsSources) {
  const Mixture mix = mixture({source("a.json", {kText, kImage}), source("b.json", {kTwoImages}, 2.4)});
  ASSERT_EQ(mix.size(), 3);
  EXPECT_EQ(mix.read(0).id, "text");
  EXPECT_EQ(mix.read(1).id, "image");
  EXPECT_EQ(mix.read(1).index, 1);
  EXPECT_EQ(mix.read(1).source, 0);
  EXPECT_EQ(mix.read(2).id, "two");
  EXPECT_EQ(mix.read(2).index, 2);
  EXPECT_EQ(mix.read(2).source, 1);
  EXPECT_EQ(mix.parts()[0].samples_per_epoch, 2);
  EXPECT_EQ(mix.parts()[1].samples_per_epoch, 2);
  EXPECT_THROW(mix.read(3), ShapeError);
  EXPECT_THROW(mix.facts(-1), ShapeError);
}

TEST_F(MixtureTest, KnowsWhatTrainingWillSee) {
  const Mixture mix = mixture({source("a.json", {kText, kImage, kNoMark, kEmpty, kTwoImages})});
  for (const std::int64_t record : {0, 1, 4}) {
    const SampleFacts facts = mix.facts(record);
    const Encoded encoded = encode_conversation(mix.read(record), tokenizer(), 4);
    EXPECT_EQ(facts.tokens, static_cast<std::int64_t>(encoded.token_ids.size()));
    EXPECT_EQ(facts.images, static_cast<std::int64_t>(encoded.image_starts.size()));
    EXPECT_EQ(facts.targets, encoded.targets);
    EXPECT_FALSE(facts.is_bad);
    EXPECT_EQ(mix.defect(record), "");
  }
  const std::string file = (directory_.path() / "a.json").string();
  EXPECT_TRUE(mix.facts(2).is_bad);
  EXPECT_THAT(mix.defect(2), HasSubstr(file + ": sample 'no mark': 1 image file but 0 <image> marks"));
  EXPECT_TRUE(mix.facts(3).is_bad);
  EXPECT_THAT(mix.defect(3), HasSubstr(file + ": sample 'empty': 1 answer without text"));
}

TEST_F(MixtureTest, CutsAsReadingASampleDoes) {
  const DataSource only = source("a.json", {kText, kImage, kTwoImages});
  for (view_.context_length = 1; view_.context_length < 40; ++view_.context_length) {
    const Mixture mix = mixture({only});
    for (std::int64_t record = 0; record < mix.size(); ++record) {
      Encoded encoded = encode_conversation(mix.read(record), tokenizer(), 4);
      const std::string defect = training_defect(shape_of(encoded, 4), view_.context_length, 4);
      cut_to_context(encoded, view_.context_length);
      const SampleFacts facts = mix.facts(record);
      EXPECT_EQ(facts.tokens, static_cast<std::int64_t>(encoded.token_ids.size()));
      EXPECT_EQ(facts.images, static_cast<std::int64_t>(encoded.image_starts.size()));
      EXPECT_EQ(facts.is_bad, !defect.empty());
      EXPECT_TRUE(facts.is_bad || encoded.targets > 0);
    }
  }
}

TEST_F(MixtureTest, AModelWithoutEncodersTakesNoImages) {
  view_.takes_images = false;
  const Mixture mix = mixture({source("a.json", {kText, kImage})});
  EXPECT_FALSE(mix.facts(0).is_bad);
  EXPECT_TRUE(mix.facts(1).is_bad);
  EXPECT_THAT(mix.defect(1), HasSubstr("no vision encoder"));
}

TEST_F(MixtureTest, ItsFingerprintFollowsTheDataNotItsPlace) {
  const auto of = [&](const std::vector<DataSource>& sources) { return mixture(sources).fingerprint(); };
  const auto first = of({source("a.json", {kText}), source("b.json", {kImage})});
  EXPECT_EQ(of({source("c.json", {kText}), source("d.json", {kImage})}), first);
  EXPECT_NE(of({source("b.json", {kImage}), source("a.json", {kText})}), first);
  EXPECT_NE(of({source("a.json", {kText}, 2), source("b.json", {kImage})}), first);
  EXPECT_NE(of({source("a.json", {kText, kText}), source("b.json", {kImage})}), first);
  EXPECT_NE(of({source("a.json", {kText})}), first);
}

TEST_F(MixtureTest, NoticesADataFileThatIsCutOff) {
  const DataSource only = source("a.json", {kText, kImage});
  const Mixture mix = mixture({only});
  const Record first = mix.read(0);
  std::filesystem::resize_file(only.file, std::filesystem::file_size(only.file) - 3);
  EXPECT_EQ(mix.read(0).id, first.id);
  EXPECT_THAT(message_of<DataError>([&] { mix.read(1); }), HasSubstr("a.json: is shorter than when it was"));
}

TEST_F(MixtureTest, RefusesSourcesThatGiveNothing) {
  EXPECT_THROW(mixture({}), ConfigError);
  EXPECT_THAT(message_of<ConfigError>([&] { mixture({source("a.json", {kText}, 0.1)}); }),
              HasSubstr("a weight of 0.1 gives no sample of its 1"));
  EXPECT_THAT(message_of<DataError>([&] { mixture({{.file = "/nowhere/x.json", .image_folder = {}}}); }),
              HasSubstr("/nowhere/x.json: cannot be opened"));
}

}  // namespace
}  // namespace vrwkv::data
