// SPDX-License-Identifier: Apache-2.0
#include "data/loader.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "common/file_system.h"
#include "data/sampler.h"
#include "data/text/sample_file.h"
#include "tests/data/data_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::array_of;
using test::image_sample;
using test::message_of;
using test::text_sample;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Equal in every tensor, name and number.
void expect_equal(const MicroBatch& a, const MicroBatch& b) {
  EXPECT_TRUE(at::equal(a.token_ids, b.token_ids));
  EXPECT_TRUE(at::equal(a.labels, b.labels));
  EXPECT_TRUE(at::equal(a.sequence_starts, b.sequence_starts));
  EXPECT_TRUE(at::equal(a.image_starts, b.image_starts));
  EXPECT_EQ(a.targets, b.targets);
  ASSERT_EQ(a.pixels.size(), b.pixels.size());
  for (const auto& [size, images] : a.pixels) {
    ASSERT_EQ(images.size(), b.pixels.at(size).size());
    for (std::size_t i = 0; i < images.size(); ++i) EXPECT_TRUE(at::equal(images[i], b.pixels.at(size)[i]));
  }
  ASSERT_EQ(a.packed.size(), b.packed.size());
  for (std::size_t i = 0; i < a.packed.size(); ++i) EXPECT_EQ(a.packed[i].record, b.packed[i].record);
  ASSERT_EQ(a.bad.size(), b.bad.size());
  for (std::size_t i = 0; i < a.bad.size(); ++i) EXPECT_EQ(a.bad[i].reason, b.bad[i].reason);
}

class LoaderTest : public ::testing::Test {
 protected:
  DataConfig config(const std::vector<std::string>& samples) {
    DataConfig made;
    made.sources = {{.file = test::write_file(directory_.path() / "mix.json", array_of(samples)),
                     .image_folder = {test::fixtures() / "images"}}};
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
  /// Steps of 12 samples in 4 micro-batches unless said otherwise.
  static StepReaderOptions options(std::int64_t samples = 12, std::int64_t micro_batches = 4) {
    return {.image_sizes = {8, 16},
            .tokens_per_image = 4,
            .vocabulary_size = 65536,
            .seed = 11,
            .step = {.samples = samples, .micro_batches = micro_batches, .image_cost = 20}};
  }
  static StepSlice slice(std::int64_t step, std::int64_t first = 0, std::int64_t count = 4) {
    return {.position = (step - 1) * 12, .first_micro_batch = first, .count = count};
  }
  /// The only micro-batch of the first step, which takes as many samples.
  static MicroBatch first_step(const DataConfig& data, std::int64_t samples) {
    return Loader(data, options(samples, 1), 2).load({.position = 0, .count = 1}).micro_batches.at(0);
  }
  DataConfig skipping(DataConfig data) {
    data.on_bad_sample = BadSamplePolicy::kSkip;
    return data;
  }
  test::TemporaryDirectory directory_;
};

TEST_F(LoaderTest, AStepHoldsTheSamplesOfItsPlacesInTheOrderAsPlanned) {
  Loader loader(skipping(mixed()), options(), 2);
  const Sampler order(27, 11);
  for (const std::int64_t step : {1, 2, 3, 4}) {
    const LoadedStep loaded = loader.load(slice(step));
    ASSERT_EQ(loaded.micro_batches.size(), 4U);
    EXPECT_EQ(loaded.plan.samples, 12);
    std::vector<std::int64_t> expected, actual;
    for (std::int64_t place = 0; place < 12; ++place) expected.push_back(order.at((step - 1) * 12 + place));
    std::erase(expected, 26);
    for (std::size_t m = 0; m < 4; ++m) {
      std::vector<std::int64_t> planned, packed;
      for (const auto& sample : loaded.plan.micro_batches[m]) planned.push_back(sample.record);
      std::erase(planned, 26);
      for (const auto& sample : loaded.micro_batches[m].packed) packed.push_back(sample.record);
      EXPECT_EQ(packed, planned);
      actual.insert(actual.end(), packed.begin(), packed.end());
    }
    EXPECT_THAT(actual, ::testing::UnorderedElementsAreArray(expected));
  }
}

TEST_F(LoaderTest, ABadSampleIsReplacedByRule) {
  DataConfig data = mixed();
  Loader loader(data, options(27, 3), 2);
  const Sampler order(27, 11);
  const Substitution substitution(27);
  std::int64_t place = 0;
  while (order.at(place) != 26) ++place;
  const LoadedStep loaded = loader.load({.position = 0, .first_micro_batch = 0, .count = 3});
  std::vector<Replacement> replacements;
  std::int64_t samples = 0;
  std::size_t bad_samples = 0;
  for (const auto& batch : loaded.micro_batches) {
    replacements.insert(replacements.end(), batch.replacements.begin(), batch.replacements.end());
    samples += static_cast<std::int64_t>(batch.packed.size());
    bad_samples += batch.bad.size();
    for (const auto& bad : batch.bad) EXPECT_THAT(bad.reason, HasSubstr("gone.png"));
  }
  EXPECT_EQ(samples, 27);
  EXPECT_THAT(replacements,
              ElementsAre(Replacement{place, 26, 1, order.at(substitution.position(place, 1))}));
  EXPECT_EQ(bad_samples, 1U);
}

TEST_F(LoaderTest, AQuarantinedSampleIsReplacedAndNotCalledBad) {
  DataConfig data = mixed();
  Quarantine quarantine(Loader(data, options(), 1).mixture().fingerprint());
  quarantine.add({26, "gone", "seen before"});
  quarantine.add({3, "3", "somebody said so"});
  data.quarantine = directory_.path() / "quarantine.json";
  quarantine.write(data.quarantine);
  data.on_bad_sample = BadSamplePolicy::kStop;
  const MicroBatch batch = first_step(data, 27);
  EXPECT_EQ(batch.packed.size(), 27U);
  EXPECT_EQ(batch.replacements.size(), 2U);
  EXPECT_THAT(batch.bad, IsEmpty());
  for (const auto& sample : batch.packed) {
    EXPECT_NE(sample.record, 26);
    EXPECT_NE(sample.record, 3);
  }
  // As many samples of the same names, but of other data.
  std::string text = read_file(data.sources[0].file);
  text.replace(text.find("Which?"), 6, "Where?");
  test::write_file(data.sources[0].file, text);
  EXPECT_THAT(message_of<DataError>([&] { Loader(data, options(), 1); }),
              HasSubstr("quarantine.json: the list is of other data"));
}

// Which sample takes a place is known before any is read, unless an image turns out to be bad.
TEST_F(LoaderTest, WhatIsReadIsWhatWasPlanned) {
  std::vector<std::string> samples;
  for (int i = 0; i < 40; ++i) samples.push_back(text_sample(std::to_string(i), i % 4 == 0 ? "" : "yes"));
  samples.push_back(image_sample("gone", "gone.png"));
  DataConfig data = config(samples);
  Quarantine quarantine(Loader(data, options(), 1).mixture().fingerprint());
  for (const std::int64_t record : {1, 2, 3, 17}) quarantine.add({record, std::to_string(record), "bad"});
  data.quarantine = directory_.path() / "quarantine.json";
  quarantine.write(data.quarantine);
  const StepReader reader(data, options(41));
  const StepPlan plan = reader.plan(0);
  int replaced = 0;
  for (const auto& micro_batch : plan.micro_batches) {
    for (const PlannedSample& place : micro_batch) {
      const Sample sample = reader.read(plan, place);
      const std::int64_t attempts = sample.replacement ? sample.replacement->attempts : 0;
      for (const BadSample& bad : sample.rejected) EXPECT_THAT(bad.reason, HasSubstr("'" + bad.id + "': "));
      EXPECT_EQ(sample.record == place.record, place.record != 40);
      EXPECT_EQ(attempts == place.attempt, place.record != 40);
      replaced += place.attempt > 0 ? 1 : 0;
    }
  }
  EXPECT_GE(replaced, 14) << "ten without an answer, four of the list";
}

TEST_F(LoaderTest, NothingButBadSamplesEndsTheRun) {
  const DataConfig data = config({image_sample("a", "gone.png"), image_sample("b", "gone.png")});
  EXPECT_THAT(message_of<DataError>([&] { first_step(data, 2); }),
              HasSubstr("none of the 2 samples that may take it"));
}

TEST_F(LoaderTest, AStepOfTokensKnowsWhereTheNextOneBegins) {
  StepReaderOptions in_tokens = options();
  in_tokens.step.samples = 0;
  in_tokens.step.tokens = 150;
  Loader loader(mixed(), in_tokens, 3), resumed(mixed(), in_tokens, 1);
  std::int64_t position = 0;
  for (int step = 0; step < 12; ++step) {
    const LoadedStep here = loader.load({.position = position, .first_micro_batch = 1, .count = 2});
    if (step % 5 == 4) {
      const LoadedStep there = resumed.load({.position = position, .first_micro_batch = 1, .count = 2});
      for (std::size_t m = 0; m < 2; ++m) expect_equal(here.micro_batches[m], there.micro_batches[m]);
    }
    EXPECT_EQ(here.plan.position, position);
    EXPECT_GT(here.plan.samples, 0);
    position += here.plan.samples;
  }
}

TEST_F(LoaderTest, ContentDoesNotDependOnThreadsSlicesOrWhatCameBefore) {
  const DataConfig data = mixed();
  DataConfig impatient = data;
  impatient.prefetch_bytes = 0;
  Loader one(impatient, options(), 1), many(data, options(), 5);
  for (const std::int64_t step : {1, 2, 3, 4, 9, 3, 1'000'000'000}) {
    const auto whole = many.load(slice(step)).micro_batches;
    for (std::int64_t m = 0; m < 4; ++m) {
      const auto alone = one.load(slice(step, m, 1)).micro_batches;
      ASSERT_EQ(alone.size(), 1U);
      expect_equal(alone[0], whole[static_cast<std::size_t>(m)]);
    }
  }
}

TEST_F(LoaderTest, DeliversPixelsAtEverySizeAndWhereTheyGo) {
  const MicroBatch batch = first_step(config({image_sample("green", "green.png")}), 2);
  ASSERT_EQ(batch.image_starts.numel(), 2);
  for (const std::int64_t size : {8, 16}) {
    ASSERT_EQ(batch.pixels.at(size).size(), 2U);
    const at::Tensor pixels = at::stack(batch.pixels.at(size));
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
  const DataConfig data =
      skipping(config({text_sample("good", "yes"), text_sample("empty", ""), image_sample("gone", "gone.png"),
                       image_sample("broken", (directory_.path() / "broken.png").string())}));
  Loader loader(data, options(4, 1), 2);
  const MicroBatch batch = loader.load({.position = 0, .count = 1}).micro_batches.at(0);
  ASSERT_EQ(batch.packed.size(), 1U);
  EXPECT_EQ(batch.packed[0].id, "good");
  std::map<std::string, std::string> reasons;
  for (const auto& bad : batch.bad) reasons[bad.id] = bad.reason;
  ASSERT_EQ(reasons.size(), 3U);
  const std::string file = data.sources[0].file.string();
  EXPECT_THAT(reasons["empty"], HasSubstr(file + ": sample 'empty': 1 answer without text"));
  EXPECT_THAT(
      reasons["gone"],
      HasSubstr(file + ": sample 'gone': " + (data.sources[0].image_folder.front() / "gone.png").string()));
  EXPECT_THAT(reasons["broken"], HasSubstr("broken.png"));
  EXPECT_EQ(batch.replacements.size(), 3U);
  for (const Replacement& one : batch.replacements) EXPECT_EQ(one.substitute, Replacement::kNothing);
}

TEST_F(LoaderTest, AMicroBatchOfBadSamplesIsEmpty) {
  Loader loader(skipping(config({text_sample("empty", "")})), options(2, 2), 2);
  const auto batches = loader.load({.position = 0, .count = 2}).micro_batches;
  ASSERT_EQ(batches.size(), 2U);
  EXPECT_EQ(batches[1].tokens(), 0);
  EXPECT_EQ(batches[1].bad.size(), 1U);
  EXPECT_THAT(batches[1].pixels.at(8), IsEmpty());
}

TEST_F(LoaderTest, AMicroBatchWithoutAPlaceIsEmpty) {
  Loader loader(config({text_sample("only", "yes")}), options(1, 3), 2);
  for (const std::int64_t position : {0, 1, 2}) {
    const auto batches = loader.load({.position = position, .count = 3}).micro_batches;
    ASSERT_EQ(batches.size(), 3U);
    std::int64_t samples = 0;
    for (const MicroBatch& batch : batches) {
      samples += static_cast<std::int64_t>(batch.packed.size());
      EXPECT_THAT(batch.pixels.at(8), IsEmpty());
    }
    EXPECT_EQ(samples, 1);
  }
}

TEST_F(LoaderTest, CutsLongSamplesAndSaysSo) {
  DataConfig data = config({text_sample("long", "one two three four five six seven eight nine ten")});
  data.context_length = 12;
  Loader loader(data, options(1, 1), 2);
  const auto batches = loader.load({.position = 0, .count = 1}).micro_batches;
  EXPECT_EQ(batches.at(0).tokens(), 12);
  EXPECT_TRUE(batches.at(0).packed.at(0).was_cut);
}

TEST_F(LoaderTest, AnEmptySliceIsAllowed) {
  Loader loader(mixed(), options(), 2);
  EXPECT_THAT(loader.load(slice(1, 4, 0)).micro_batches, IsEmpty());
  EXPECT_EQ(loader.load(slice(1)).micro_batches.size(), 4U);
}

TEST_F(LoaderTest, EndsCleanlyWhileItReads) {
  for (int i = 0; i < 20; ++i) {
    Loader loader(mixed(), options(), 4);
    if (i % 2 == 0) loader.load(slice(i + 1));
  }
}

TEST_F(LoaderTest, RefusesSlicesThatDoNotExist) {
  Loader loader(mixed(), options(), 2);
  EXPECT_THROW(loader.load(slice(0)), ConfigError);
  EXPECT_THROW(loader.load(slice(1, 2, 3)), ConfigError);
  EXPECT_THROW(loader.load(slice(1, -1, 3)), ConfigError);
  EXPECT_EQ(loader.load(slice(1)).micro_batches.size(), 4U) << "still usable";
}

TEST_F(LoaderTest, ThrowsWhatIsWrongWithTheFileItself) {
  DataConfig data = mixed();
  test::write_file(data.sources[0].file, "{}");
  EXPECT_THAT(message_of<DataError>([&] { Loader loader(data, options(), 2); }),
              HasSubstr("not a JSON array"));
  data.sources[0].file = "/nowhere/mix.json";
  EXPECT_THAT(message_of<DataError>([&] { Loader loader(data, options(), 2); }),
              HasSubstr("Check [data] file."));
}

TEST_F(LoaderTest, CarriesAFailureOfAThreadToTheCallerAndStaysUsable) {
  const DataConfig data = mixed();
  const auto size = std::filesystem::file_size(data.sources[0].file);
  Loader loader(data, options(), 2);
  std::fstream file(data.sources[0].file, std::ios::binary | std::ios::in | std::ios::out);
  file << std::string(size, ' ') << std::flush;  // in place: a shorter file could not be read at all
  EXPECT_THAT(message_of<DataError>([&] { loader.load(slice(1)); }), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of<DataError>([&] { loader.load(slice(1)); }), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace vrwkv::data
