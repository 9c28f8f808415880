// SPDX-License-Identifier: Apache-2.0
#include "data/text/sample_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SampleFileTest : public ::testing::Test {
 protected:
  SampleFile open(const std::string& content) {
    return SampleFile::open(test::write_file(directory_.path() / "mix.json", content));
  }
  /// The message without the folder.
  std::string refusal(const std::string& content) {
    const std::string message = message_of<DataError>([&] { open(content); });
    const std::string folder = directory_.path().string() + "/";
    return message.starts_with(folder) ? message.substr(folder.size()) : message;
  }
  test::TemporaryDirectory directory_;
};

constexpr const char* kTurns =
    R"("conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}])";

std::string sample(const std::string& keys) { return fmt::format("{{{}, {}}}", keys, kTurns); }

TEST_F(SampleFileTest, ReadsEveryFormOfASample) {
  const auto file = open(fmt::format("[\n{},\n {},\n\n{}, {}\n,{}]\n",
                                     sample(R"("id": "a", "model": "", "nested": {"x": ["]", "}"]})"),
                                     sample(R"("id": 17, "image": "coco/1.jpg")"),
                                     sample(R"("id": "x", "sample_id": "s", "image": ["1.jpg", "2.jpg"])"),
                                     sample(R"("id": -3, "image": null)"),
                                     sample(R"("id": "e", "image": [], "kind": "digit", "chance": 0.1)")));
  ASSERT_EQ(file.size(), 5);
  const Record first = file.read(0);
  EXPECT_EQ(first.id, "a");
  EXPECT_EQ(first.file, file.path().string());
  EXPECT_FALSE(first.has_image);
  ASSERT_EQ(first.turns.size(), 2U);
  EXPECT_EQ(first.turns[1].from, "gpt");
  EXPECT_EQ(first.turns[1].value, "Ho");
  EXPECT_EQ(first.kind, "");
  EXPECT_EQ(first.chance, 0);
  EXPECT_EQ(file.read(1).id, "17");
  EXPECT_TRUE(file.read(1).has_image);
  EXPECT_THAT(file.read(1).images, ElementsAre("coco/1.jpg"));
  EXPECT_EQ(file.read(2).id, "s");
  EXPECT_THAT(file.read(2).images, ElementsAre("1.jpg", "2.jpg"));
  EXPECT_EQ(file.read(3).id, "-3");
  EXPECT_FALSE(file.read(3).has_image);
  EXPECT_TRUE(file.read(4).has_image);
  EXPECT_THAT(file.read(4).images, IsEmpty());
  EXPECT_EQ(file.read(4).kind, "digit");
  EXPECT_EQ(file.read(4).chance, 0.1);
  EXPECT_THAT((std::vector{file.read(0).line, file.read(1).line, file.read(2).line, file.read(3).line,
                           file.read(4).line}),
              ElementsAre(2, 3, 5, 5, 6));
}

TEST_F(SampleFileTest, FollowsStringsWhenItLooksForTheEndOfASample) {
  const auto file =
      open(R"([{"id": "a\\", "conversations": [{"from": "gpt", "value": "]},\" [{ \\\" \u00e9 \n"}]},)"
           R"({"id": "", "conversations": []}])");
  ASSERT_EQ(file.size(), 2);
  EXPECT_EQ(file.read(0).id, "a\\");
  EXPECT_EQ(file.read(0).turns[0].value, "]},\" [{ \\\" é \n");
}

TEST_F(SampleFileTest, OfARepeatedKeyTheLastCounts) {
  EXPECT_EQ(open(fmt::format("[{}]", sample(R"("id": "a", "id": "b")"))).read(0).id, "b");
}

TEST_F(SampleFileTest, RefusesWhatIsNotOneArray) {
  const std::string good = sample(R"("id": "a")");
  EXPECT_EQ(
      refusal("{\"id\": 1}"),
      "mix.json:1: not a JSON array of samples (it does not begin with '['). Write [sample, sample, ...].");
  EXPECT_EQ(refusal(""), "mix.json:1: is empty (it should be a JSON array of samples).");
  EXPECT_EQ(refusal(" \n "), "mix.json:2: is empty (it should be a JSON array of samples).");
  EXPECT_EQ(refusal("[ ]"), "mix.json: holds no samples. Check [data] file.");
  EXPECT_EQ(refusal("[" + good + "]\n\n[]"),
            "mix.json:3: something follows the end of the array (only one array is read).");
  EXPECT_EQ(refusal("["), "mix.json:1: the array does not end (is the file cut short?).");
  EXPECT_EQ(refusal("[" + good + ",\n"), "mix.json:2: the array does not end (is the file cut short?).");
  EXPECT_EQ(refusal("[" + good + ",\n]"), "mix.json:2: not valid JSON (a sample is missing before ']').");
  EXPECT_EQ(refusal("[" + good + ",,"), "mix.json:1: not valid JSON (a sample is missing before ',').");
  EXPECT_EQ(refusal("[" + good + ",\n\n" + good.substr(0, good.size() - 1)),
            "mix.json:3: the sample that begins here does not end (is the file cut short?).");
  EXPECT_EQ(
      refusal("[" + good + ",\n{\"id\": \"b"),
      "mix.json:2: the sample that begins here has a string that does not end (is the file cut short?).");
  EXPECT_EQ(refusal("[" + good + "\n}]"), "mix.json:2: not valid JSON (unexpected '}').");
}

TEST_F(SampleFileTest, RefusesTheFirstBadSampleWithItsLine) {
  const std::string good = sample(R"("id": "a")");
  const auto second = [&](const std::string& bad) { return refusal("[" + good + ",\n" + bad + "]"); };
  EXPECT_THAT(second(R"({"id": tru})"), HasSubstr("mix.json:2: sample at index 1: not valid JSON ("));
  EXPECT_THAT(second("{\"id\": \"\xff\"}"), HasSubstr("mix.json:2: sample at index 1: not valid JSON ("));
  EXPECT_THAT(refusal("[" + good + " " + good + "]"),
              HasSubstr("mix.json:1: sample at index 0: not valid JSON ("));
  EXPECT_EQ(second("3"), "mix.json:2: sample at index 1: not an object.");
  EXPECT_EQ(second(fmt::format("{{{}}}", kTurns)),
            "mix.json:2: sample at index 1: key 'id' is missing (messages name samples by it).");
  EXPECT_EQ(second(sample(R"("id": 1.5)")),
            "mix.json:2: sample at index 1: key 'id' is not a string or an integer.");
  EXPECT_EQ(second(sample(R"("id": 1, "sample_id": [])")),
            "mix.json:2: sample at index 1: key 'sample_id' is not a string or an integer.");
  EXPECT_EQ(second(sample(R"("id": "b", "image": 3)")),
            "mix.json:2: sample 'b': key 'image' is not a string or a list of strings.");
  EXPECT_EQ(second(sample(R"("id": "b", "image": ["x", 3])")),
            "mix.json:2: sample 'b': key 'image' is not a string.");
  EXPECT_EQ(second(sample(R"("id": "b", "kind": 3)")), "mix.json:2: sample 'b': key 'kind' is not a string.");
  EXPECT_EQ(second(sample(R"("id": "b", "chance": "x")")),
            "mix.json:2: sample 'b': key 'chance' is not a number.");
  EXPECT_EQ(second(R"({"id": "b"})"),
            "mix.json:2: sample 'b': key 'conversations' is missing (there is nothing to train on).");
  EXPECT_EQ(second(R"({"id": "b", "conversations": "x"})"),
            "mix.json:2: sample 'b': key 'conversations' is not a list of {from, value}.");
  EXPECT_EQ(second(R"({"id": "b", "conversations": ["x"]})"),
            "mix.json:2: sample 'b': key 'conversations' is not a list of {from, value}.");
  EXPECT_EQ(second(R"({"id": "b", "conversations": [{"value": "x"}]})"),
            "mix.json:2: sample 'b': key 'from' is missing in turn 1.");
  EXPECT_EQ(second(R"({"id": "b", "conversations": [{"from": "x"}]})"),
            "mix.json:2: sample 'b': key 'value' is missing in turn 1.");
  EXPECT_EQ(second(R"({"id": "b", "conversations": [{"from": "x", "value": 2}]})"),
            "mix.json:2: sample 'b': key 'value' is not a string.");
}

TEST_F(SampleFileTest, RefusesFilesThatCannotBeOpened) {
  EXPECT_EQ(message_of<DataError>([] { SampleFile::open("/nowhere/mix.json"); }),
            "/nowhere/mix.json: cannot be opened (No such file or directory). Check [data] file.");
  EXPECT_EQ(message_of<DataError>([&] { SampleFile::open(directory_.path()); }),
            directory_.path().string() + ": cannot be opened (Is a directory). Check [data] file.");
}

TEST_F(SampleFileTest, ManySamplesKeepTheirPlaces) {
  std::string content = "[";
  for (int i = 0; i < 5000; ++i) content += (i == 0 ? "" : ",\n") + sample(fmt::format("\"id\": {}", i));
  const auto file = open(content + "]");
  ASSERT_EQ(file.size(), 5000);
  for (const std::int64_t i : {0, 1, 2500, 4999}) {
    EXPECT_EQ(file.read(i).id, std::to_string(i));
    EXPECT_EQ(file.read(i).index, i);
    EXPECT_EQ(file.read(i).line, i + 1);
  }
}

}  // namespace
}  // namespace vrwkv::data
