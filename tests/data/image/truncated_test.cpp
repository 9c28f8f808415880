// SPDX-License-Identifier: Apache-2.0
// Files that end too early, against what Pillow makes of them (tools/fixtures/truncated_images.py).
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "data/image/image.h"
#include "tests/data/image/fixtures.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

/// "refused", or "WIDTH HEIGHT CRC32C".
std::string outcome(const std::filesystem::path& file, bool accept) {
  try {
    const Image image =
        decode_image(file, {.accept_truncated = accept, .resize_order = {}, .most_pixels = kPixelLimit});
    std::ostringstream text;
    text << image.width << ' ' << image.height << ' ' << crc32c(image.rgb.data(), image.rgb.size());
    return text.str();
  } catch (const DataError&) {
    return "refused";
  }
}

TEST(TruncatedImages, AreDecodedAsFarAsPillowDoes) {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder.path() / "image";
  std::ifstream stream(test::image_fixtures().parent_path() / "truncated_images.txt");
  std::string name, expected;
  std::size_t length = 0, decoded = 0, lines = 0;
  while (stream >> name >> length && std::getline(stream >> std::ws, expected)) {
    write_file_atomically(file, read_file(test::image_fixtures() / name).substr(0, length));
    EXPECT_EQ(outcome(file, /*accept=*/true), expected) << name << ", first " << length << " bytes";
    decoded += expected == "refused" ? 0 : 1;
    ++lines;
  }
  EXPECT_GT(lines, 400U);
  EXPECT_GT(decoded, 150U) << "too few were decoded to show anything";
}

std::string big_endian(std::size_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

// The fixtures hold their pixels in one chunk each. A file that ends between two, or in the head of the
// second, shows as much as one whose only chunk ends there.
TEST(TruncatedImages, MayEndBetweenTwoChunksOfPixels) {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder.path() / "image";
  const std::string whole = read_file(test::image_fixtures() / "png_filters.png");
  const std::size_t pixels = whole.find("IDAT") + 4;
  for (const std::size_t count : {40U, 100U, 200U}) {
    write_file_atomically(file, whole.substr(0, pixels + count));
    const std::string expected = outcome(file, /*accept=*/true);
    EXPECT_NE(expected, "refused");
    const std::string first =
        whole.substr(0, pixels - 8) + big_endian(count) + whole.substr(pixels - 4, count + 4);
    for (const auto& rest :
         {std::string("...."), std::string("....\0\0", 6), std::string("....\0\0\0\7IDA", 11)}) {
      write_file_atomically(file, first + rest);
      EXPECT_EQ(outcome(file, /*accept=*/true), expected) << count;
      EXPECT_EQ(outcome(file, /*accept=*/false), "refused");
    }
  }
}

TEST(TruncatedImages, AreRefusedUnlessAccepted) {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder.path() / "image";
  for (const char* name :
       {"jpeg_420.jpg", "jpeg_420_progressive.jpg", "png_rgb_8.png", "png_palette_8.png"}) {
    const std::string whole = read_file(test::image_fixtures() / name);
    write_file_atomically(file, whole.substr(0, whole.size() * 5 / 6));
    EXPECT_EQ(outcome(file, /*accept=*/false), "refused") << name;
    EXPECT_NE(outcome(file, /*accept=*/true), "refused") << name;
  }
}

}  // namespace
}  // namespace vrwkv::data
