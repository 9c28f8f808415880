// SPDX-License-Identifier: Apache-2.0
#include "data/sample_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "data/text/sample_file.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SampleReaderTest : public ::testing::Test {
 protected:
  Record record(const std::string& sample) const {
    return SampleFile::open(test::write_file(directory_.path() / "mix.json", "[" + sample + "]")).read(0);
  }
  Record image_record(const std::string& image) const {
    return record(fmt::format(
        R"({{"id": "one", "image": "{}", "conversations": [{{"from": "human", "value": "<image>\nWhich?"}}, )"
        R"({{"from": "gpt", "value": "This."}}]}})",
        image));
  }
  static SampleReader reader(std::vector<std::int64_t> sizes = {8}, std::int64_t tokens_per_image = 4,
                             ConversationRules rules = ConversationRules::kStrict) {
    return {test::tokenizer(),
            {ImagePlaces{test::fixtures() / "images"}},
            {.image_sizes = std::move(sizes),
             .tokens_per_image = tokens_per_image,
             .conversation = rules,
             .images = {},
             .cache = {}}};
  }
  test::TemporaryDirectory directory_;
};

TEST_F(SampleReaderTest, ReadsWholeSamplesEvenWithoutATarget) {
  const Sample sample = reader().read(record(
      R"({"id": "empty", "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": ""}]})"));
  EXPECT_EQ(sample.id, "empty");
  EXPECT_EQ(sample.tokens.targets, 0);
  EXPECT_EQ(sample.bad, "");
  EXPECT_EQ(reader().read(image_record("red.png")).pixels.at(8).size(), 1U);
}

TEST_F(SampleReaderTest, ThrowsForImagesThatCannotBeRead) {
  EXPECT_THAT(message_of<DataError>([&] { reader().read(image_record("gone.png")); }),
              HasSubstr("mix.json: sample 'one': "));
}

TEST_F(SampleReaderTest, ATextModelRefusesImages) {
  const Record with_image = image_record("red.png");
  EXPECT_THAT(message_of<DataError>([&] { reader({}).read(with_image); }), HasSubstr("no vision encoder"));
  EXPECT_THAT(reader({}).read_for_training(with_image, 100).bad, HasSubstr("no vision encoder"));
}

TEST_F(SampleReaderTest, DoesNotReadImagesThatTheCutRemoves) {
  const Record two = record(
      R"({"id": "two", "image": ["red.png", "gone.png"], "conversations": [{"from": "human", "value": "<image>Hi"},)"
      R"( {"from": "gpt", "value": "Ho"}, {"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Ho"}]})");
  const Sample cut = reader().read_for_training(two, 16);
  EXPECT_EQ(cut.bad, "");
  EXPECT_TRUE(cut.was_cut);
  EXPECT_EQ(cut.pixels.at(8).size(), 1U);
  const Sample whole = reader().read_for_training(two, 100);
  EXPECT_THAT(whole.bad, HasSubstr("gone.png"));
  EXPECT_THAT(whole.pixels, IsEmpty());
}

/// A million images of 4,096 tokens would take 65 GB.
TEST_F(SampleReaderTest, AMillionImagesTakeNoMoreThanTheContext) {
  Record crowd = image_record("red.png");
  crowd.images.assign(1'000'000, "red.png");
  crowd.turns[0].value.clear();
  for (std::size_t i = 0; i < crowd.images.size(); ++i) crowd.turns[0].value += "<image>";
  const SampleReader large = reader({8}, 4096, ConversationRules::kVisualRwkv);
  EXPECT_THAT(large.read_for_training(crowd, 4000).bad, HasSubstr("reaches beyond the context"));
  // Two images and the space between them: "User: ", image, "\n", image.
  const Sample cut = large.read_for_training(crowd, 3 + 4096 + 1 + 4096);
  EXPECT_EQ(cut.bad, "");
  EXPECT_EQ(cut.pixels.at(8).size(), 2U);
  rusage usage{};
  ASSERT_EQ(::getrusage(RUSAGE_SELF, &usage), 0);
  EXPECT_LT(usage.ru_maxrss, std::int64_t{4} << 20) << "kB";
}

}  // namespace
}  // namespace vrwkv::data
