// SPDX-License-Identifier: Apache-2.0
#include "data/loader.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "data/sample_reader.h"
#include "data/sampler.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string text_sample(const std::string& id, const std::string& answer) {
  return fmt::format(R"({{"id": "{}", "conversations": [{{"from": "human", "value": "Which?"}}, )"
                     R"({{"from": "gpt", "value": "{}"}}]}})",
                     id, answer);
}

std::string image_sample(const std::string& id, const std::string& image) {
  return fmt::format(
      R"({{"id": "{}", "image": "{}", "conversations": [{{"from": "human", "value": "<image>\nWhich?"}}, )"
      R"({{"from": "gpt", "value": "{}"}}]}})",
      id, image, id);
}

std::string array_of(const std::vector<std::string>& samples) {
  std::string array = "[";
  for (const std::string& sample : samples) array += (array.size() == 1 ? "" : ",\n") + sample;
  return array + "]";
}

/// Equal in every tensor, name and number.
void expect_equal(const MicroBatch& a, const MicroBatch& b) {
  EXPECT_TRUE(at::equal(a.token_ids, b.token_ids));
  EXPECT_TRUE(at::equal(a.labels, b.labels));
  EXPECT_TRUE(at::equal(a.sequence_starts, b.sequence_starts));
  EXPECT_TRUE(at::equal(a.image_starts, b.image_starts));
  EXPECT_EQ(a.targets, b.targets);
  ASSERT_EQ(a.pixels.size(), b.pixels.size());
  for (const auto& [size, pixels] : a.pixels) EXPECT_TRUE(at::equal(pixels, b.pixels.at(size)));
  ASSERT_EQ(a.packed.size(), b.packed.size());
  for (std::size_t i = 0; i < a.packed.size(); ++i) EXPECT_EQ(a.packed[i].record, b.packed[i].record);
  ASSERT_EQ(a.bad.size(), b.bad.size());
  for (std::size_t i = 0; i < a.bad.size(); ++i) EXPECT_EQ(a.bad[i].reason, b.bad[i].reason);
}

class LoaderTest : public ::testing::Test {
 protected:
  DataConfig config(const std::vector<std::string>& samples) {
    DataConfig made;
    made.file = test::write_file(directory_.path() / "mix.json", array_of(samples));
    made.image_folder = test::fixtures() / "images";
    made.vocabulary = test::vocabulary_file();
    return made;
  }
  /// 26 good samples (every third with an image) and one whose image is missing.
  DataConfig mixed() {
    std::vector<std::string> samples;
    for (int i = 0; i < 26; ++i)
      samples.push_back(i % 3 == 0
                            ? image_sample(std::to_string(i), i % 2 == 0 ? "red.png" : "dark.gif")
                            : text_sample(std::to_string(i), std::string(static_cast<std::size_t>(i), 'x')));
    samples.push_back(image_sample("gone", "gone.png"));
    return config(samples);
  }
  static LoaderOptions options(int threads = 2) {
    return {.image_sizes = {8, 16},
            .tokens_per_image = 4,
            .vocabulary_size = 65536,
            .seed = 11,
            .threads = threads};
  }
  static StepSlice slice(std::int64_t step, std::int64_t first = 0, std::int64_t count = 4) {
    return {.step = step,
            .global_batch_size = 12,
            .micro_batch_size = 3,
            .first_micro_batch = first,
            .count = count};
  }
  test::TemporaryDirectory directory_;
};

TEST_F(LoaderTest, MicroBatchesHoldTheSamplesOfTheirPlaceInTheOrder) {
  Loader loader(mixed(), options());
  const Sampler order(27, 11);
  for (const std::int64_t step : {1, 2, 3, 4}) {
    const auto batches = loader.load(slice(step, 1, 3));
    ASSERT_EQ(batches.size(), 3U);
    for (std::int64_t m = 0; m < 3; ++m) {
      std::vector<std::int64_t> expected, actual;
      for (std::int64_t i = 0; i < 3; ++i) expected.push_back(order.at((step - 1) * 12 + (m + 1) * 3 + i));
      std::erase(expected, 26);
      for (const auto& packed : batches[static_cast<std::size_t>(m)].packed) actual.push_back(packed.record);
      EXPECT_EQ(actual, expected);
    }
  }
}

TEST_F(LoaderTest, ContentDoesNotDependOnThreadsSlicesOrWhatCameBefore) {
  const DataConfig data = mixed();
  Loader one(data, options(1)), many(data, options(5));
  for (const std::int64_t step : {1, 2, 9, 3, 1'000'000'000}) {
    const auto whole = many.load(slice(step));
    for (std::int64_t m = 0; m < 4; ++m) {
      const auto alone = one.load(slice(step, m, 1));
      ASSERT_EQ(alone.size(), 1U);
      expect_equal(alone[0], whole[static_cast<std::size_t>(m)]);
    }
  }
}

TEST_F(LoaderTest, DeliversPixelsAtEverySizeAndWhereTheyGo) {
  Loader loader(config({image_sample("green", "green.png")}), options());
  const auto batches = loader.load(
      {.step = 1, .global_batch_size = 2, .micro_batch_size = 2, .first_micro_batch = 0, .count = 1});
  const MicroBatch& batch = batches.at(0);
  ASSERT_EQ(batch.image_starts.numel(), 2);
  for (const std::int64_t size : {8, 16}) {
    const at::Tensor& pixels = batch.pixels.at(size);
    ASSERT_EQ(pixels.sizes(), (at::IntArrayRef{2, 3, size, size}));
    EXPECT_TRUE(pixels.select(1, 0).eq(0).all().item<bool>());
    EXPECT_TRUE(pixels.select(1, 1).eq(128).all().item<bool>());
  }
  for (std::int64_t image = 0; image < 2; ++image) {
    const std::int64_t start = batch.image_starts[image].item<std::int64_t>();
    EXPECT_EQ(start, batch.sequence_starts[image].item<std::int64_t>() + 3);
    EXPECT_TRUE(batch.token_ids.slice(0, start, start + 4).eq(kImageToken).all().item<bool>());
  }
  EXPECT_EQ(batch.token_ids.eq(kImageToken).sum().item<std::int64_t>(), 8);
}

TEST_F(LoaderTest, ReportsBadSamplesAndGoesOn) {
  test::write_file(directory_.path() / "broken.png", "not an image");
  DataConfig data =
      config({text_sample("good", "yes"), text_sample("empty", ""), image_sample("gone", "gone.png"),
              image_sample("broken", (directory_.path() / "broken.png").string())});
  Loader loader(data, options());
  const auto batches = loader.load(
      {.step = 1, .global_batch_size = 4, .micro_batch_size = 4, .first_micro_batch = 0, .count = 1});
  const MicroBatch& batch = batches.at(0);
  ASSERT_EQ(batch.packed.size(), 1U);
  EXPECT_EQ(batch.packed[0].id, "good");
  std::map<std::string, std::string> reasons;
  for (const auto& bad : batch.bad) reasons[bad.id] = bad.reason;
  ASSERT_EQ(reasons.size(), 3U);
  const std::string file = data.file.string();
  EXPECT_THAT(reasons["empty"], HasSubstr(file + ": sample 'empty': 1 answer without text"));
  EXPECT_THAT(reasons["gone"],
              HasSubstr(file + ": sample 'gone': " + (data.image_folder / "gone.png").string()));
  EXPECT_THAT(reasons["broken"], HasSubstr("broken.png"));
  EXPECT_EQ(loader.bad_samples(), 3);
  EXPECT_EQ(loader.cut_samples(), 0);
}

TEST_F(LoaderTest, AMicroBatchOfBadSamplesIsEmpty) {
  Loader loader(config({text_sample("empty", "")}), options());
  const auto batches = loader.load(
      {.step = 1, .global_batch_size = 2, .micro_batch_size = 1, .first_micro_batch = 0, .count = 2});
  ASSERT_EQ(batches.size(), 2U);
  EXPECT_EQ(batches[1].tokens(), 0);
  EXPECT_EQ(batches[1].bad.size(), 1U);
  EXPECT_EQ(batches[1].pixels.at(8).size(0), 0);
}

TEST_F(LoaderTest, CutsLongSamplesAndCountsThem) {
  DataConfig data = config({text_sample("long", "one two three four five six seven eight nine ten")});
  data.context_length = 12;
  Loader loader(data, options());
  const auto batches = loader.load(
      {.step = 1, .global_batch_size = 1, .micro_batch_size = 1, .first_micro_batch = 0, .count = 1});
  EXPECT_EQ(batches.at(0).tokens(), 12);
  EXPECT_TRUE(batches.at(0).packed.at(0).was_cut);
  EXPECT_EQ(loader.cut_samples(), 1);
}

TEST_F(LoaderTest, AnEmptySliceIsAllowed) {
  Loader loader(mixed(), options());
  EXPECT_THAT(loader.load(slice(1, 4, 0)), IsEmpty());
  EXPECT_EQ(loader.load(slice(1)).size(), 4U);
}

TEST_F(LoaderTest, EndsCleanlyWhileItReads) {
  for (int i = 0; i < 20; ++i) {
    Loader loader(mixed(), options(4));
    if (i % 2 == 0) loader.load(slice(i + 1));
  }
}

TEST_F(LoaderTest, RefusesSlicesThatDoNotExist) {
  Loader loader(mixed(), options());
  EXPECT_THROW(loader.load(slice(0)), ConfigError);
  EXPECT_THROW(loader.load(slice(1, 2, 3)), ConfigError);
  EXPECT_THROW(loader.load(slice(1, -1, 3)), ConfigError);
  EXPECT_EQ(loader.load(slice(1)).size(), 4U) << "still usable";
}

TEST_F(LoaderTest, ThrowsWhatIsWrongWithTheFileItself) {
  DataConfig data = mixed();
  test::write_file(data.file, "{}");
  EXPECT_THAT(message_of<DataError>([&] { Loader loader(data, options()); }), HasSubstr("not a JSON array"));
  data.file = "/nowhere/mix.json";
  EXPECT_THAT(message_of<DataError>([&] { Loader loader(data, options()); }),
              HasSubstr("Check [data] file."));
}

TEST_F(LoaderTest, CarriesAFailureOfAThreadToTheCallerAndStaysUsable) {
  const DataConfig data = mixed();
  const auto size = std::filesystem::file_size(data.file);
  Loader loader(data, options());
  std::fstream file(data.file, std::ios::binary | std::ios::in | std::ios::out);
  file << std::string(size, ' ') << std::flush;  // in place: a shorter file could not be read at all
  EXPECT_THAT(message_of<DataError>([&] { loader.load(slice(1)); }), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of<DataError>([&] { loader.load(slice(1)); }), HasSubstr("not valid JSON"));
}

class SampleReaderTest : public LoaderTest {
 protected:
  Record record(const std::string& sample) { return SampleFile::open(config({sample}).file).read(0); }
  SampleReader reader(std::vector<std::int64_t> sizes = {8}) {
    return {test::tokenizer(),
            test::fixtures() / "images",
            {.image_sizes = std::move(sizes), .tokens_per_image = 4, .conversation = {}, .images = {}}};
  }
};

TEST_F(SampleReaderTest, ReadsWholeSamplesEvenWithoutATarget) {
  const Sample sample = reader().read(record(text_sample("empty", "")));
  EXPECT_EQ(sample.id, "empty");
  EXPECT_EQ(sample.tokens.targets, 0);
  EXPECT_EQ(sample.bad, "");
  EXPECT_EQ(reader().read(record(image_sample("r", "red.png"))).pixels.at(8).size(), 1U);
}

TEST_F(SampleReaderTest, ThrowsForImagesThatCannotBeRead) {
  EXPECT_THAT(message_of<DataError>([&] { reader().read(record(image_sample("g", "gone.png"))); }),
              HasSubstr("mix.json: sample 'g': "));
}

TEST_F(SampleReaderTest, ATextModelRefusesImages) {
  const Record with_image = record(image_sample("r", "red.png"));
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

}  // namespace
}  // namespace vrwkv::data
