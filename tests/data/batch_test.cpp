// SPDX-License-Identifier: Apache-2.0
#include "data/batch.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/data_test_support.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Ids = std::vector<std::int64_t>;

Ids values(const at::Tensor& tensor) {
  EXPECT_EQ(tensor.scalar_type(), at::kLong);
  const auto* data = tensor.const_data_ptr<std::int64_t>();
  return {data, data + tensor.numel()};
}

/// Tokens first, first + 1, ...; one label at the end; an image of the given grey at each start.
Sample sample(std::int64_t record, std::int64_t first, std::int64_t tokens, Ids image_starts = {},
              int grey = 0) {
  Sample made;
  made.record = record;
  made.id = "id-" + std::to_string(record);
  for (std::int64_t i = 0; i < tokens; ++i) made.tokens.token_ids.push_back(first + i);
  made.tokens.labels.assign(static_cast<std::size_t>(tokens), kIgnoreIndex);
  made.tokens.labels.back() = first + tokens - 1;
  made.tokens.targets = 1;
  made.tokens.image_starts = std::move(image_starts);
  for (std::size_t i = 0; i < made.tokens.image_starts.size(); ++i)
    for (const std::int64_t size : {2, 3})
      made.pixels[size].push_back(at::full({3, size, size}, grey + static_cast<int>(i), at::kByte));
  return made;
}

TEST(Pack, LaysSamplesEndToEnd) {
  Sample cut = sample(5, 30, 2);
  cut.was_cut = true;
  const MicroBatch batch = pack({sample(7, 10, 3, {1}, 50), cut, sample(9, 40, 4, {0, 2}, 60)}, {2, 3});
  EXPECT_EQ(values(batch.token_ids), (Ids{10, 11, 12, 30, 31, 40, 41, 42, 43}));
  EXPECT_EQ(values(batch.labels), (Ids{-100, -100, 12, -100, 31, -100, -100, -100, 43}));
  EXPECT_EQ(values(batch.sequence_starts), (Ids{0, 3, 5}));
  EXPECT_EQ(values(batch.image_starts), (Ids{1, 5, 7}));
  EXPECT_THAT(batch.targets, ElementsAre(1, 1, 1));
  EXPECT_EQ(batch.tokens(), 9);
  EXPECT_EQ(batch.supervised_tokens(), 3);
  ASSERT_EQ(batch.packed.size(), 3U);
  EXPECT_EQ(batch.packed[1].record, 5);
  EXPECT_EQ(batch.packed[1].id, "id-5");
  EXPECT_EQ(batch.packed[1].tokens, 2);
  EXPECT_TRUE(batch.packed[1].was_cut);
  EXPECT_EQ(batch.packed[2].images, 2);
  EXPECT_FALSE(batch.packed[2].was_cut);
  for (const std::int64_t size : {2, 3}) {
    const std::vector<at::Tensor>& pixels = batch.pixels.at(size);
    ASSERT_EQ(pixels.size(), 3U);
    EXPECT_EQ(pixels[0].sizes(), (at::IntArrayRef{3, size, size}));
    EXPECT_TRUE(pixels[0].eq(50).all().item<bool>());
    EXPECT_TRUE(pixels[1].eq(60).all().item<bool>());
    EXPECT_TRUE(pixels[2].eq(61).all().item<bool>());
  }
}

TEST(Pack, CopiesNoPixels) {
  const std::vector<Sample> samples = {sample(7, 10, 3, {1}, 50), sample(9, 40, 4, {0, 2}, 60)};
  const MicroBatch batch = pack(samples, {2, 3});
  for (const std::int64_t size : {2, 3}) {
    EXPECT_TRUE(batch.pixels.at(size)[0].is_same(samples[0].pixels.at(size)[0]));
    EXPECT_TRUE(batch.pixels.at(size)[2].is_same(samples[1].pixels.at(size)[1]));
  }
}

TEST(Pack, ListsBadSamplesAndLeavesThemOut) {
  Sample bad = sample(4, 90, 5, {0});
  bad.bad = "mix.json: sample 'id-4': why";
  const MicroBatch batch = pack({bad, sample(7, 10, 3)}, {2});
  EXPECT_EQ(values(batch.token_ids), (Ids{10, 11, 12}));
  ASSERT_EQ(batch.bad.size(), 1U);
  EXPECT_EQ(batch.bad[0].record, 4);
  EXPECT_EQ(batch.bad[0].id, "id-4");
  EXPECT_EQ(batch.bad[0].reason, "mix.json: sample 'id-4': why");
  EXPECT_THAT(batch.pixels.at(2), IsEmpty());
}

TEST(Pack, NoGoodSampleGivesEmptyTensors) {
  Sample bad = sample(4, 90, 5);
  bad.bad = "why";
  const MicroBatch batch = pack({bad}, {2});
  for (const at::Tensor& tensor : {batch.token_ids, batch.labels, batch.sequence_starts, batch.image_starts})
    EXPECT_THAT(values(tensor), IsEmpty());
  EXPECT_THAT(batch.pixels.at(2), IsEmpty());
  EXPECT_THAT(batch.targets, IsEmpty());
  EXPECT_EQ(batch.supervised_tokens(), 0);
}

TEST(Pack, RefusesImagesThatDoNotFit) {
  EXPECT_THAT(message_of<ShapeError>([] { pack({sample(1, 10, 3, {0})}, {5}); }),
              HasSubstr("sample 'id-1' has 0 images of 5 pixels a side but places for 1"));
  Sample small = sample(1, 10, 3, {0});
  small.pixels[2][0] = at::zeros({3, 1, 1}, at::kByte);
  EXPECT_THAT(message_of<ShapeError>([&] { pack({small}, {2}); }),
              HasSubstr("holds 3 values instead of 3 x 2 x 2"));
}

}  // namespace
}  // namespace vrwkv::data
