// SPDX-License-Identifier: Apache-2.0
#include "data/index/sample_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "common/crc32c.h"
#include "common/file_system.h"
#include "data/index/index_format.h"
#include "data/index/index_writer.h"
#include "data/text/sample_file.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using Json = nlohmann::json;
using test::message_of;
using test::tokenizer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json turns(const std::vector<std::string>& texts) {
  Json all = Json::array();
  for (std::size_t i = 0; i < texts.size(); ++i)
    all.push_back({{"from", i % 2 == 0 ? "human" : "gpt"}, {"value", texts[i]}});
  return all;
}

/// One sample of every kind that an index tells apart.
Json every_kind() {
  return Json::array({
      {{"id", "caption"}, {"image", "a/1.jpg"}, {"conversations", turns({"<image>\nWhat is it?", "A cat."})}},
      {{"id", 17}, {"conversations", turns({"Hello, \"]}\\ you\n\n\nthere", "你好。"})}},
      {{"id", "later"},
       {"image", {"b/2.jpg", "a/1.jpg"}},
       {"conversations", turns({"Look", "At what?", "these: <image>\n<image>", "Two images."})}},
      {{"id", "empty"}, {"image", "a/1.jpg"}, {"conversations", turns({"<image>\nWhat is it?", " \n"})}},
      {{"id", "no answer"}, {"conversations", turns({"Hello?"})}},
      {{"id", "marks"}, {"image", "c/3.jpg"}, {"conversations", turns({"What is it?", "A cat."})}},
      {{"id", "again"}, {"image", "a/1.jpg"}, {"conversations", turns({"<image>\nWhat is it?", "A cat."})}},
      {{"id", "spoken"},
       {"conversations", {{{"from", "Human"}, {"value", "Hi"}}, {{"from", "gpt"}, {"value", "Ho"}}}}},
  });
}

class SampleIndexTest : public ::testing::Test {
 protected:
  std::string index_of(const Json& samples, ConversationRules rules = ConversationRules::kStrict) {
    test::write_file(file_, samples.dump(1));
    return make_index(file_, tokenizer(), rules);
  }
  test::TemporaryDirectory directory_;
  const std::filesystem::path file_ = directory_.path() / "mix.json";
};

TEST_F(SampleIndexTest, SaysOfEverySampleWhatReadingItSays) {
  for (const auto rules : {ConversationRules::kStrict, ConversationRules::kVisualRwkv}) {
    const std::string bytes = index_of(every_kind(), rules);
    const SampleIndex index = SampleIndex::parse(bytes, "mix.json.index");
    const SampleFile file = SampleFile::open(file_);
    const std::string text = read_file(file_);
    ASSERT_EQ(index.size(), file.size());
    for (std::int64_t i = 0; i < file.size(); ++i) {
      SCOPED_TRACE(i);
      const Record record = file.read(i);
      const SampleIndex::Place place = index.place(i);
      EXPECT_EQ(place.line, record.line);
      EXPECT_EQ(parse_record(std::string_view(text).substr(place.begin, place.bytes), "", 1, i).id,
                record.id);
      if (record.id == "marks") {
        EXPECT_EQ(fmt::format("{}: {}", describe(record), index.render_defect(i)),
                  message_of<DataError>([&] { encode_conversation(record, tokenizer(), 4, rules); }));
        continue;
      }
      EXPECT_THAT(index.render_defect(i), IsEmpty());
      std::vector<std::string> images;
      for (const std::int64_t image : index.images(i)) images.emplace_back(index.image_path(image));
      EXPECT_EQ(images, record.images);
      // Rendered with images of seven tokens, the lengths must be those of the text with seven more for each.
      const Encoded encoded = encode_conversation(record, tokenizer(), 7, rules);
      const ConversationShape shape = index.shape(i), expected = shape_of(encoded, 7);
      EXPECT_EQ(shape.tokens(7), static_cast<std::int64_t>(encoded.token_ids.size()));
      EXPECT_EQ(shape.targets, encoded.targets);
      EXPECT_EQ(shape.empty_answers, encoded.empty_answers);
      EXPECT_EQ(shape.first_target, expected.first_target);
      EXPECT_EQ(shape.text_before_image, expected.text_before_image);
      for (std::size_t image = 0; image < encoded.image_starts.size(); ++image)
        EXPECT_EQ(shape.image_start(image, 7), encoded.image_starts[image]);
    }
  }
}

TEST(SampleIndexOfAMixture, SaysWhatASlowReadingInPythonSays) {
  const std::filesystem::path folder = VRWKV_TEST_FIXTURES "/data_index";
  const std::string bytes = make_index(folder / "mixture.json", tokenizer(), ConversationRules::kStrict);
  const SampleIndex index = SampleIndex::parse(bytes, "mixture.json");
  const Json expected = Json::parse(read_file(folder / "mixture_facts.json"));
  ASSERT_EQ(index.size(), static_cast<std::int64_t>(expected.size()));
  for (std::int64_t i = 0; i < index.size(); ++i) {
    SCOPED_TRACE(i);
    const Json& facts = expected[static_cast<std::size_t>(i)];
    const SampleIndex::Place place = index.place(i);
    const bool is_last = i + 1 == index.size();  // the line's end behind it counts as its
    EXPECT_EQ(place.begin, facts["begin"]);
    EXPECT_EQ(place.bytes - (is_last ? 1 : 0), facts["bytes"]);
    EXPECT_EQ(place.line, facts["line"]);
    const ConversationShape shape = index.shape(i);
    EXPECT_EQ(shape.text_tokens, facts["text_tokens"]);
    EXPECT_EQ(shape.targets, facts["targets"]);
    EXPECT_EQ(shape.text_before_image, facts["text_before_images"].get<std::vector<std::int64_t>>());
    EXPECT_EQ(shape.first_target.has_value(), !facts["first_target"].is_null());
    if (shape.first_target) {
      EXPECT_EQ(*shape.first_target, facts["first_target"]);
    }
  }
}

TEST_F(SampleIndexTest, CountsDistinctImagesAndEqualSamples) {
  const std::string bytes = index_of(every_kind());
  const SampleIndex index = SampleIndex::parse(bytes, "x");
  EXPECT_EQ(index.distinct_images(), 2) << "those of a sample that cannot be rendered are not read";
  EXPECT_EQ(index.image_path(0), "a/1.jpg");
  EXPECT_EQ(index.image_path(1), "b/2.jpg");
  EXPECT_EQ(index.fingerprint(0), index.fingerprint(6)) << "whatever the id";
  for (std::int64_t i = 1; i < 6; ++i) EXPECT_NE(index.fingerprint(0), index.fingerprint(i));
}

TEST_F(SampleIndexTest, IsTheSameBytesEachTime) {
  const std::string first = index_of(every_kind());
  EXPECT_TRUE(make_index(file_, tokenizer(), ConversationRules::kStrict) == first);
}

TEST_F(SampleIndexTest, RefusesTheFirstMalformedSampleWithItsLine) {
  test::write_file(file_, "[\n" + every_kind()[0].dump() + ",\n{\"id\": \"x\"}]");
  EXPECT_EQ(
      message_of<DataError>([&] { make_index(file_, tokenizer(), {}); }),
      file_.string() + ":3: sample 'x': key 'conversations' is missing (there is nothing to train on).");
  test::write_file(file_, "[]");
  EXPECT_EQ(message_of<DataError>([&] { make_index(file_, tokenizer(), {}); }),
            file_.string() + ": holds no samples. Check [data] file.");
}

TEST_F(SampleIndexTest, RefusesEveryChangedByteAndEveryShorterFile) {
  const std::string good = index_of(every_kind());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_THROW(SampleIndex::parse(bad, "x"), DataError) << i;
    EXPECT_THROW(SampleIndex::parse(std::string_view(good).substr(0, i), "x"), DataError) << i;
  }
}

/// Rewrites one number and mends the checksum: what a hostile file would look like.
template <class Value>
std::string forged(std::string bytes, std::size_t position, Value value) {
  std::memcpy(bytes.data() + position, &value, sizeof(value));
  const std::uint32_t checksum =
      crc32c(bytes.data() + index_format::kChecksumBegin, bytes.size() - index_format::kChecksumBegin);
  std::memcpy(bytes.data() + offsetof(index_format::Header, checksum), &checksum, sizeof(checksum));
  return bytes;
}

TEST_F(SampleIndexTest, RefusesNumbersThatCannotBe) {
  using namespace index_format;
  const std::string good = index_of(every_kind());
  for (const std::size_t field :
       {offsetof(Header, samples), offsetof(Header, marks), offsetof(Header, images),
        offsetof(Header, messages), offsetof(Header, text_bytes)})
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1} << 40, ~std::uint64_t{0}})
      EXPECT_THAT(message_of<DataError>([&] { SampleIndex::parse(forged(good, field, value), "x"); }),
                  HasSubstr("x: not an index that can be used: "));
  const auto spoilt = [&](std::size_t field, auto value) {
    return forged(good, sizeof(Header) + field, value);
  };
  const auto refuses = [](const std::string& bytes) {
    const SampleIndex index = SampleIndex::parse(bytes, "x");
    EXPECT_THAT(message_of<DataError>([&] {
                  index.place(0);
                  index.shape(0);
                  index.render_defect(0);
                  for (const std::int64_t image : index.images(0)) index.image_path(image);
                }),
                HasSubstr("Delete it"));
  };
  refuses(spoilt(offsetof(Entry, begin), ~std::uint64_t{0}));
  refuses(spoilt(offsetof(Entry, bytes), ~std::uint32_t{0}));
  refuses(spoilt(offsetof(Entry, marks), ~std::uint32_t{0}));
  refuses(spoilt(offsetof(Entry, first_mark), ~std::uint32_t{0}));
  refuses(spoilt(offsetof(Entry, message), std::uint32_t{7}));
  refuses(spoilt(offsetof(Entry, first_target), kNone));
  const std::size_t marks = sizeof(Header) + every_kind().size() * sizeof(Entry);
  refuses(forged(good, marks, std::uint32_t{99}));
}

TEST_F(SampleIndexTest, IsMadeAgainOnlyWhenItIsStale) {
  index_of(every_kind());
  const auto beside = index_beside(file_);
  const auto open = [&](ConversationRules rules = ConversationRules::kStrict) {
    return open_or_make_index(file_, tokenizer(), rules);
  };
  EXPECT_EQ(open().size(), 8);
  const auto first = std::filesystem::last_write_time(beside);
  open();
  EXPECT_EQ(std::filesystem::last_write_time(beside), first);
  EXPECT_EQ(open(ConversationRules::kVisualRwkv).origin().rules, ConversationRules::kVisualRwkv);
  EXPECT_EQ(open_or_make_index(file_, Tokenizer::load(test::vocabulary_file(), 4096), {}).origin().rules,
            ConversationRules::kStrict);
  test::write_file(file_, Json::array({every_kind()[0]}).dump());
  EXPECT_EQ(open().size(), 1);
  test::write_file(beside, "damaged");
  EXPECT_EQ(open().size(), 1);
  EXPECT_EQ(SampleIndex::open(beside).size(), 1) << "mended";
}

TEST_F(SampleIndexTest, GoesElsewhereWhereItsFolderCannotBeWritten) {
  index_of(every_kind());
  std::filesystem::create_directory(
      index_beside(file_));  // as good as a folder without permission, also for root
  EXPECT_THROW(open_or_make_index(file_, tokenizer(), {}), IoError);
  const auto fallback = directory_.path() / "run" / "index";
  EXPECT_EQ(open_or_make_index(file_, tokenizer(), {}, fallback).size(), 8);
  const auto made = std::filesystem::directory_iterator(fallback)->path();
  const auto first = std::filesystem::last_write_time(made);
  EXPECT_EQ(open_or_make_index(file_, tokenizer(), {}, fallback).size(), 8);
  EXPECT_EQ(std::filesystem::last_write_time(made), first);
}

}  // namespace
}  // namespace vrwkv::data
