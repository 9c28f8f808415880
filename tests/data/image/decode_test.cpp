// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "data/image/image.h"
#include "tests/data/image/fixtures.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class DecodesAsPillow : public ::testing::TestWithParam<test::Expected> {};

TEST_P(DecodesAsPillow, ByteForByte) {
  const test::Expected& expected = GetParam();
  const Image image = decode_image(test::image_fixtures() / expected.file);
  EXPECT_EQ(image.width, expected.width);
  EXPECT_EQ(image.height, expected.height);
  ASSERT_EQ(image.rgb.size(), static_cast<std::size_t>(expected.width * expected.height * 3));
  EXPECT_EQ(crc32c(image.rgb.data(), image.rgb.size()), expected.crc32c);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DecodesAsPillow, ::testing::ValuesIn(test::read_expected("decode")),
                         [](const auto& instance) {
                           std::string name = instance.param.file;
                           std::replace_if(
                               name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); },
                               '_');
                           return name;
                         });

/// The message with which a file of these bytes is refused.
std::string refusal(const std::string& bytes) {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder.path() / "image";
  write_file_atomically(file, bytes);
  try {
    decode_image(file);
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), StartsWith(file.string() + ": "));
    return error.what();
  }
  ADD_FAILURE() << "the file was decoded";
  return "";
}

std::string fixture(const std::string& name) { return read_file(test::image_fixtures() / name); }

TEST(DecodeImage, RefusesWhatIsNoFile) {
  const test::TemporaryDirectory folder;
  try {
    decode_image(folder.path() / "none.jpg");
    FAIL() << "a missing file was decoded";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("none.jpg: cannot be read (No such file"), HasSubstr("Check")));
  }
  EXPECT_THROW(decode_image(folder.path()), DataError);
}

TEST(DecodeImage, RefusesWhatIsNoImage) {
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(refusal("<html>"),
              HasSubstr("is not a JPEG, PNG, GIF or WebP image (its first bytes are 3c 68 74"));
  EXPECT_THAT(refusal("R"), HasSubstr("is not a JPEG"));
  EXPECT_THAT(refusal("RIFF....WAVEfmt "), HasSubstr("is not a JPEG"));
}

TEST(DecodeImage, NamesTruncation) {
  for (const char* name : {"jpeg_420.jpg", "jpeg_420_progressive.jpg", "jpeg_cmyk.jpg", "png_rgb_8.png",
                           "gif_plain.gif", "webp_lossy_31x22.webp", "webp_lossless_31x22.webp"}) {
    const std::string bytes = fixture(name);
    EXPECT_THAT(refusal(bytes.substr(0, bytes.size() * 2 / 3)), HasSubstr("is truncated")) << name;
  }
}

TEST(DecodeImage, NamesCorruption) {
  std::string jpeg = fixture("jpeg_444.jpg");
  jpeg.replace(jpeg.find("\xff\xc4"), 6, std::string("\xff\xc4\x00\x05\xff\xff", 6));
  EXPECT_THAT(refusal(jpeg), HasSubstr("JPEG image is corrupt (Bogus"));

  std::string png = fixture("png_rgb_8.png");
  png[png.find("IDAT") + 9] ^= 1;
  EXPECT_THAT(refusal(png), HasSubstr("PNG image is corrupt (IDAT: "));

  std::string gif = fixture("gif_plain.gif");
  gif.resize(13 + (6U << (gif[10] & 7)));
  EXPECT_THAT(refusal(gif + ";"), HasSubstr("GIF image is corrupt (it holds no frame)"));

  std::string webp = fixture("webp_lossy_31x22.webp");
  webp[23] ^= 0x55;  // the start code of the key frame
  EXPECT_THAT(refusal(webp), HasSubstr("WebP image is corrupt"));
}

TEST(DecodeImage, RefusesZeroSizes) {
  std::string jpeg = fixture("jpeg_444.jpg");
  jpeg.replace(jpeg.find("\xff\xc0") + 7, 2, std::string(2, '\0'));
  EXPECT_THAT(refusal(jpeg), HasSubstr("JPEG image is corrupt"));

  std::string gif = fixture("gif_plain.gif");
  gif.replace(gif.find(std::string(",\0\0\0\0\x17", 6)) + 5, 2, std::string(2, '\0'));
  EXPECT_THAT(refusal(gif), HasSubstr("first frame has no pixels"));
}

TEST(DecodeImage, RefusesTooManyPixelsBeforeAllocatingThem) {
  std::string gif = fixture("gif_plain.gif");
  gif.replace(6, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(refusal(gif),
              HasSubstr("is 65535 x 65535 pixels (the limits are 1000000 per side and 178956970 in all)"));

  std::string jpeg = fixture("jpeg_444.jpg");
  jpeg.replace(jpeg.find("\xff\xc0") + 5, 4, "\xfd\xe8\xfd\xe8");
  EXPECT_THAT(refusal(jpeg), HasSubstr("is 65000 x 65000 pixels"));
}

}  // namespace
}  // namespace vrwkv::data
