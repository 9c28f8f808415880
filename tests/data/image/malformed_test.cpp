// SPDX-License-Identifier: Apache-2.0
// Damaged files must be decoded or refused, never crash: most of what this test finds, it finds under the
// sanitizers.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/error.h"
#include "common/file_system.h"
#include "data/image/image.h"
#include "tests/data/image/fixtures.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

enum class Outcome { kDecoded, kRefused };

/// Any other exception than DataError fails the test that calls this.
Outcome try_to_decode(const std::filesystem::path& file) {
  try {
    const Image image = decode_image(file);
    EXPECT_GE(image.width, 1);
    EXPECT_GE(image.height, 1);
    EXPECT_EQ(image.rgb.size(), static_cast<std::size_t>(image.width * image.height * 3));
    return Outcome::kDecoded;
  } catch (const DataError&) {
    return Outcome::kRefused;
  }
}

TEST(MalformedImages, CutAtEveryLength) {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder.path() / "image";
  for (const test::Expected& fixture : test::read_expected("decode")) {
    std::filesystem::copy_file(test::image_fixtures() / fixture.file, file,
                               std::filesystem::copy_options::overwrite_existing);
    const std::uintmax_t whole = std::filesystem::file_size(file);
    for (std::uintmax_t bytes = whole; bytes-- > 0;) {
      std::filesystem::resize_file(file, bytes);
      const Outcome outcome = try_to_decode(file);
      // Some bytes at the end carry no pixels: an end mark, checksums, further frames of an animation.
      if (bytes < whole / 4) {
        ASSERT_EQ(outcome, Outcome::kRefused) << fixture.file << " cut to " << bytes;
      }
    }
  }
}

TEST(MalformedImages, BytesOverwritten) {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder.path() / "image";
  std::mt19937 random(11);
  for (const test::Expected& fixture : test::read_expected("decode")) {
    const std::string whole = read_file(test::image_fixtures() / fixture.file);
    for (int trial = 0; trial < 40; ++trial) {
      std::string damaged = whole;
      for (int place = 0; place <= trial % 4; ++place)
        damaged[random() % damaged.size()] = static_cast<char>(random());
      std::ofstream(file, std::ios::binary) << damaged;
      try_to_decode(file);
    }
  }
}

}  // namespace
}  // namespace vrwkv::data
