// SPDX-License-Identifier: Apache-2.0
#include "data/text/utf8_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/random.h"

namespace vrwkv::data {
namespace {

std::string whole(std::string_view bytes) {
  Utf8Stream stream;
  const std::string text = stream.add(bytes);
  return text + stream.finish();
}

std::string byte_by_byte(std::string_view bytes) {
  Utf8Stream stream;
  std::string text;
  for (const char& byte : bytes) text += stream.add({&byte, 1});
  return text + stream.finish();
}

TEST(Utf8Stream, LeavesTextAsItIs) {
  for (const std::string text : {"", "plain", "naïve 你好。🙂", "\u0080\u07ff\u0800\ud7ff\ue000\uffff",
                                 "\U00010000\U0010ffff"}) {
    EXPECT_EQ(whole(text), text);
    EXPECT_EQ(byte_by_byte(text), text);
  }
}

// Computed with Python 3.11's bytes.decode("utf-8", "replace").
TEST(Utf8Stream, ReplacesWhatIsNone) {
  const std::vector<std::pair<std::string, std::string>> examples = {
      {"\xc0\x80", "\uFFFD\uFFFD"},
      {"\xe0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xe3\x81", "\uFFFD"},
      {"\xe3\x81 a", "\uFFFD a"},
      {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xf0\x9f\x99", "\uFFFD"},
      {"\xf0\x80", "\uFFFD\uFFFD"},
      {"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xff\x80-", "\uFFFD\uFFFD-"},
      {"\xe1\x80\xe1\x80\x80", "\uFFFD\u1000"},
      {"\xc3\xc3\xa9", "\uFFFDé"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(whole(bytes), text);
    EXPECT_EQ(byte_by_byte(bytes), text);
  }
}

TEST(Utf8Stream, GivesTextWhateverComesAndHoweverItIsCut) {
  constexpr std::string_view kBytes =
      "\x20\x7f\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xdf\xe0\xe1\xed\xef\xf0\xf1\xf4\xf5\xff";
  std::uint64_t state = 5;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::uint64_t i = mix64(++state) % 12; i > 0; --i) bytes += kBytes[mix64(++state) % kBytes.size()];
    const std::string text = whole(bytes);
    EXPECT_EQ(byte_by_byte(bytes), text);
    EXPECT_EQ(whole(text), text);  // what it gives is well-formed
  }
}

}  // namespace
}  // namespace vrwkv::data
