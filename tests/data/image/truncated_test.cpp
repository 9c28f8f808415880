// SPDX-License-Identifier: Apache-2.0
// Files that end too early, against what Pillow makes of them (tools/fixtures/truncated_images.py).
#include <gtest/gtest.h>

#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "data/image/image.h"
#include "tests/data/image/fixtures.h"

namespace vrwkv::data {
namespace {

/// "refused", or "WIDTH HEIGHT CRC32C".
std::string outcome(std::string_view file, bool accept) {
  try {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
    const Image image = decode_image(
        bytes, "image", {.accept_truncated = accept, .resize_order = {}, .most_pixels = kPixelLimit});
    std::ostringstream text;
    text << image.width << ' ' << image.height << ' ' << crc32c(image.rgb.data(), image.rgb.size());
    return text.str();
  } catch (const DataError&) {
    return "refused";
  }
}

TEST(TruncatedImages, AreDecodedAsFarAsPillowDoes) {
  std::ifstream stream(test::image_fixtures().parent_path() / "truncated_images.txt");
  std::string name, expected;
  std::size_t length = 0, decoded = 0, lines = 0;
  while (stream >> name >> length && std::getline(stream >> std::ws, expected)) {
    const std::string file = read_file(test::image_fixtures() / name).substr(0, length);
    EXPECT_EQ(outcome(file, /*accept=*/true), expected) << name << ", first " << length << " bytes";
    decoded += expected == "refused" ? 0 : 1;
    ++lines;
  }
  EXPECT_GT(lines, 1000U);
  EXPECT_GT(decoded, 400U) << "too few were decoded to show anything";
}

std::string big_endian(std::size_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

// The fixtures hold their pixels in one chunk each. A file that ends between two shows as much as one whose
// only chunk ends there. Pillow refuses the file when the head of the second is cut after its length.
TEST(TruncatedImages, MayEndBetweenTwoChunksOfPixels) {
  const std::string whole = read_file(test::image_fixtures() / "png_filters.png");
  const std::size_t pixels = whole.find("IDAT") + 4;
  for (const std::size_t count : {40U, 100U, 200U}) {
    const std::string expected = outcome(whole.substr(0, pixels + count), /*accept=*/true);
    EXPECT_NE(expected, "refused");
    const std::string first =
        whole.substr(0, pixels - 8) + big_endian(count) + whole.substr(pixels - 4, count + 4);
    for (const auto& rest :
         {std::string("...."), std::string("....\0\0", 6), std::string("....\0\0\0\0IEN", 11)}) {
      EXPECT_EQ(outcome(first + rest, /*accept=*/true), expected) << count;
      EXPECT_EQ(outcome(first + rest, /*accept=*/false), "refused");
    }
    EXPECT_EQ(outcome(first + std::string("....\0\0\0\7IDA", 11), /*accept=*/true), "refused");
  }
}

TEST(TruncatedImages, AreRefusedUnlessAccepted) {
  for (const char* name : {"jpeg_420.jpg", "jpeg_420_progressive.jpg", "png_rgb_8.png", "png_palette_8.png",
                           "gif_interlaced.gif"}) {
    const std::string whole = read_file(test::image_fixtures() / name);
    const std::string file = whole.substr(0, whole.size() * 5 / 6);
    EXPECT_EQ(outcome(file, /*accept=*/false), "refused") << name;
    EXPECT_NE(outcome(file, /*accept=*/true), "refused") << name;
  }
}

// The first frame is whole; Pillow refuses the file.
TEST(TruncatedImages, OfSeveralFramesAreRefused) {
  const std::string whole = read_file(test::image_fixtures() / "webp_animated.webp");
  for (const bool accept : {false, true})
    EXPECT_EQ(outcome(whole.substr(0, whole.size() - 10), accept), "refused");
}

}  // namespace
}  // namespace vrwkv::data
