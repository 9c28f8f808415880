// SPDX-License-Identifier: Apache-2.0
#include "data/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "common/file_system.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using test::tokenizer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<std::int64_t>;

TEST(Tokenizer, GivesTheIdsThatTheReferenceDocumentsList) {
  const std::vector<std::pair<std::string, Ids>> vectors = {
      {"User: ", {24281, 59, 33}},
      {"User: What", {24281, 59, 30031}},
      {"Assistant: Yes\n\n", {5585, 41693, 59, 21186, 261}},
      {"\n", {11}},
      {"\nWhat is this?\n\n", {11, 24326, 4600, 32234, 64, 261}},
      {"User: Hello!\n\n", {24281, 59, 36786, 34, 261}},
      {"Answer the question using a single word or phrase.",
       {40301, 22590, 57009, 40085, 332, 47289, 32497, 4715, 46808, 47}},
      {"你好，世界", {10464, 11685, 19137, 10267, 14610}},
      {"Assistant: 好。\n\n", {5585, 41693, 59, 33, 11685, 28329, 11}},
      {"Assistant: 好\n\n", {5585, 41693, 59, 33, 11685, 261}},
      {"<image>", {61, 34733, 63}},
      {"User: <image>\n", {24281, 59, 295, 34733, 63, 11}},
      {"Hello, world!\n\n", {33155, 45, 40213, 34, 261}},
      {"你好。\n\n", {10464, 11685, 28329, 11}},
      {"naïve café 🙂", {2059, 27698, 37946, 32845}},
      {std::string("\0\xc3\xbf", 3), {1, 2525}},
      {"", {}},
  };
  for (const auto& [text, ids] : vectors) EXPECT_EQ(tokenizer().encode(text), ids) << text;
}

TEST(Tokenizer, AgreesWithThePythonPackageOnManyScripts) {
  const auto cases = nlohmann::json::parse(read_file(test::fixtures() / "tokenizer_texts.json"));
  std::map<std::int64_t, Tokenizer> tokenizers;
  for (const auto& example : cases) {
    const auto size = example["vocabulary_size"].get<std::int64_t>();
    if (!tokenizers.contains(size)) tokenizers.emplace(size, Tokenizer::load(test::vocabulary_file(), size));
    const auto text = example["text"].get<std::string>();
    const Ids ids = tokenizers.at(size).encode(text);
    EXPECT_EQ(ids, example["token_ids"].get<Ids>()) << size << ": " << text;
    EXPECT_EQ(tokenizers.at(size).decode(ids), text);
  }
  EXPECT_EQ(tokenizers.size(), 5U);
}

TEST(Tokenizer, EveryTokenEncodesToItself) {
  for (std::int64_t id = 1; id < 65530; ++id)
    ASSERT_THAT(tokenizer().encode(tokenizer().bytes(id)), ElementsAre(id));
}

TEST(Tokenizer, BytesThatAreNotUtf8EncodeOneByOne) {
  EXPECT_THAT(tokenizer().encode("\xff\xfe"), ElementsAre(256, 255));
}

TEST(Tokenizer, DecodesToOneReplacementCharacterWhenAnythingIsInvalid) {
  const std::string replacement = "\xef\xbf\xbd";
  EXPECT_EQ(tokenizer().decode(Ids{33155, 45}), "Hello,");
  EXPECT_EQ(tokenizer().decode(Ids{}), "");
  EXPECT_EQ(tokenizer().decode(Ids{33155, 129}), replacement) << "half a character";
  for (const std::int64_t id :
       {std::int64_t{0}, std::int64_t{65530}, kImageToken, std::int64_t{-1}, std::int64_t{70000}})
    EXPECT_EQ(tokenizer().decode(Ids{33155, id}), replacement) << id;
  EXPECT_EQ(tokenizer().decode(Ids{0xed + 1, 0xa0 + 1, 0x80 + 1}), replacement) << "a surrogate";
}

TEST(Tokenizer, BytesAreEmptyWithoutText) {
  EXPECT_EQ(tokenizer().bytes(kStopToken), "\n\n");
  EXPECT_EQ(tokenizer().bytes(0), "");
  EXPECT_EQ(tokenizer().bytes(kImageToken), "");
  EXPECT_EQ(tokenizer().bytes(1 << 20), "");
  EXPECT_EQ(tokenizer().vocabulary_size(), 65536);
}

TEST(Tokenizer, TruncatedVocabularyEncodesEverythingWithItsOwnIds) {
  const Tokenizer small = Tokenizer::load(test::vocabulary_file(), 4096);
  const std::string text = "Assistant: 好。 naïve 🙂\n\n";
  const Ids ids = small.encode(text);
  EXPECT_LT(*std::max_element(ids.begin(), ids.end()), 4096);
  EXPECT_EQ(small.decode(ids), text);
  EXPECT_EQ(small.bytes(4096), "");
}

class VocabularyFile : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& content) {
    return test::write_file(directory_.path() / "vocabulary.txt", content);
  }
  std::string refusal(const std::string& content) {
    const auto file = write(content);
    return message_of<DataError>([&] { Tokenizer::load(file); });
  }
  test::TemporaryDirectory directory_;
};

TEST_F(VocabularyFile, MayHaveWindowsLineEnds) {
  std::string content;
  for (const char character : read_file(test::vocabulary_file())) {
    if (character == '\n') content += '\r';
    content += character;
  }
  const Tokenizer windows = Tokenizer::load(write(content));
  for (std::int64_t id = 0; id < 65536; ++id) ASSERT_EQ(windows.bytes(id), tokenizer().bytes(id)) << id;
}

TEST_F(VocabularyFile, IsRefusedWithFileAndLine) {
  EXPECT_THAT(refusal("1 'a' 1\n2 'b 1\n"), HasSubstr("vocabulary.txt:2: not a vocabulary line"));
  EXPECT_THAT(refusal("1 'a' 2\n"), HasSubstr("vocabulary.txt:1:")) << "the length is wrong";
  EXPECT_THAT(refusal("1 'a\\q' 2\n"), HasSubstr("vocabulary.txt:1:")) << "an unknown escape";
  EXPECT_THAT(refusal("1 '\\x4' 1\n"), HasSubstr("vocabulary.txt:1:")) << "half an escape";
  EXPECT_THAT(refusal("one 'a' 1\n"), HasSubstr("vocabulary.txt:1:"));
  EXPECT_THAT(refusal("1 'a' 1\n"), HasSubstr("no token for byte 0"));
  EXPECT_THAT(
      message_of<DataError>([] { Tokenizer::load("/nowhere/v.txt"); }),
      HasSubstr("/nowhere/v.txt: cannot be opened (No such file or directory). Check [data] vocabulary."));
}

TEST_F(VocabularyFile, MustHaveTheBlankLineAsStopToken) {
  std::string content;
  for (int byte = 0; byte < 256; ++byte) content += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
  EXPECT_THAT(refusal(content), HasSubstr("token 261 is not the blank line"));
  EXPECT_EQ(Tokenizer::load(write(content + "261 '\\n\\n' 2\n")).encode("a\n\n"), (Ids{98, 261}));
}

TEST(Tokenizer, VocabularySizeMustKeepTheStopToken) {
  for (const std::int64_t size : {-1, 0, 261, 65537})
    EXPECT_THAT(message_of<ConfigError>([&] { Tokenizer::load(test::vocabulary_file(), size); }),
                HasSubstr("out of range"))
        << size;
}

}  // namespace
}  // namespace vrwkv::data
