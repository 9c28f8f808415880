// SPDX-License-Identifier: Apache-2.0
#include "data/image/resize.h"

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "common/crc32c.h"
#include "common/error.h"
#include "data/image/image.h"
#include "tests/data/image/fixtures.h"

namespace vrwkv::data {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

Image grey_image(std::int64_t width, std::int64_t height, const std::vector<std::uint8_t>& levels) {
  Image image{width, height, {}};
  for (const std::uint8_t level : levels) image.rgb.insert(image.rgb.end(), 3, level);
  return image;
}

/// The first plane; the image is grey, so the others must equal it.
std::vector<std::uint8_t> resize_grey(const Image& image, std::int64_t width, std::int64_t height) {
  std::vector<std::uint8_t> planes(static_cast<std::size_t>(3 * width * height));
  resize_bicubic(image, width, height, planes);
  const auto plane = planes.begin() + width * height;
  EXPECT_TRUE(std::equal(planes.begin(), plane, plane)) << "green differs";
  EXPECT_TRUE(std::equal(planes.begin(), plane, plane + width * height)) << "blue differs";
  return {planes.begin(), plane};
}

// These two were printed by Pillow 12.2.
TEST(ResizeBicubic, OneRow) {
  const Image row = grey_image(5, 1, {10, 20, 200, 250, 0});
  EXPECT_THAT(resize_grey(row, 3, 1), ElementsAre(7, 182, 111));
  EXPECT_THAT(resize_grey(row, 8, 1), ElementsAre(9, 5, 27, 148, 235, 255, 101, 0));
  EXPECT_THAT(resize_grey(row, 2, 1), ElementsAre(67, 152));
}

TEST(ResizeBicubic, HorizontalPassComesFirst) {
  std::vector<std::uint8_t> levels(35);
  for (std::size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<std::uint8_t>(37 * i % 256);
  EXPECT_THAT(resize_grey(grey_image(5, 7, levels), 6, 4),
              ElementsAreArray({86,  121, 74, 50, 89, 111, 106, 141, 139, 154, 156, 68,
                                167, 78,  80, 95, 93, 128, 123, 145, 184, 160, 113, 149}));
}

TEST(ResizeBicubic, EqualsPillowOnFixtures) {
  const std::vector<test::Expected> cases = test::read_expected("resize");
  ASSERT_GE(cases.size(), 80U);
  for (const test::Expected& expected : cases) {
    const Image image = decode_image(test::image_fixtures() / expected.file);
    std::vector<std::uint8_t> planes(static_cast<std::size_t>(3 * expected.width * expected.height));
    resize_bicubic(image, expected.width, expected.height, planes);
    EXPECT_EQ(crc32c(planes.data(), planes.size()), expected.crc32c)
        << expected.file << " " << image.width << "x" << image.height << " to " << expected.width << "x"
        << expected.height;
  }
}

// tools/fixtures/pillow13_resizes.py
TEST(ResizeBicubic, EqualsPillow13InItsOrder) {
  std::ifstream stream(test::image_fixtures().parent_path() / "pillow13_resizes.txt");
  test::Expected expected;
  std::size_t lines = 0, differs_from_the_other_order = 0;
  for (; stream >> expected.file >> expected.width >> expected.height >> expected.crc32c; ++lines) {
    const Image image = decode_image(test::image_fixtures() / expected.file);
    std::vector<std::uint8_t> planes(static_cast<std::size_t>(3 * expected.width * expected.height));
    resize_bicubic(image, expected.width, expected.height, planes);
    differs_from_the_other_order += crc32c(planes.data(), planes.size()) == expected.crc32c ? 0 : 1;
    resize_bicubic(image, expected.width, expected.height, planes, ResizeOrder::kPillow13);
    EXPECT_EQ(crc32c(planes.data(), planes.size()), expected.crc32c)
        << expected.file << " " << image.width << "x" << image.height << " to " << expected.width << "x"
        << expected.height;
  }
  EXPECT_GE(lines, 80U);
  EXPECT_GT(differs_from_the_other_order, 5U);
}

// tools/fixtures/padded_squares.py
TEST(ResizeToSquare, PadsAsLlavaDoes) {
  std::ifstream stream(test::image_fixtures().parent_path() / "padded_squares.txt");
  std::string file;
  std::int64_t side = 0;
  std::uint32_t expected = 0;
  std::size_t lines = 0;
  for (; stream >> file >> side >> expected; ++lines) {
    ImageOptions options;
    options.resize_mode = ResizeMode::kPad;
    const Image image = decode_image(test::image_fixtures() / file, options);
    EXPECT_EQ(image.width, image.height);
    const at::Tensor planes = resize_to_square(image, side, ResizeOrder::kPillow13);
    EXPECT_EQ(crc32c(planes.const_data_ptr<std::uint8_t>(), planes.nbytes()), expected)
        << file << " to " << side;
  }
  EXPECT_GE(lines, 60U);
}

TEST(ResizeToSquare, PaddingCountsAgainstTheLimit) {
  ImageOptions options;
  options.resize_mode = ResizeMode::kPad;
  options.most_pixels = 1599;
  EXPECT_THROW(decode_image(test::image_fixtures() / "jpeg_1x40.jpg", options), DataError);
  options.most_pixels = 1600;
  EXPECT_EQ(decode_image(test::image_fixtures() / "jpeg_1x40.jpg", options).width, 40);
}

TEST(ResizeToSquare, GivesPlanesOfBytes) {
  const Image image = decode_image(test::image_fixtures() / "jpeg_420.jpg");
  const at::Tensor planes = resize_to_square(image, 14);
  EXPECT_THAT(planes.sizes(), ElementsAre(3, 14, 14));
  EXPECT_EQ(planes.scalar_type(), at::kByte);
  EXPECT_TRUE(planes.is_contiguous());
  std::vector<std::uint8_t> expected(3 * 14 * 14);
  resize_bicubic(image, 14, 14, expected);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), planes.const_data_ptr<std::uint8_t>()));
}

TEST(Resize, ChecksItsArguments) {
  const Image image = grey_image(2, 2, {1, 2, 3, 4});
  std::vector<std::uint8_t> planes(12);
  EXPECT_THROW(resize_bicubic(image, 2, 3, planes), ShapeError);
  EXPECT_THROW(resize_bicubic(image, 0, 0, {}), ShapeError);
  EXPECT_THROW(resize_bicubic(Image{2, 2, {1, 2, 3}}, 2, 2, planes), ShapeError);
  EXPECT_THROW(resize_bicubic(Image{}, 2, 2, planes), ShapeError);
  EXPECT_THROW(resize_to_square(image, 0), ShapeError);
  EXPECT_THROW(resize_to_square(image, -3), ShapeError);
}

}  // namespace
}  // namespace vrwkv::data
