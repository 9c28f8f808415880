// SPDX-License-Identifier: Apache-2.0
#include "common/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32c, PublishedVectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0').data(), 32), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff').data(), 32), 0x62a8ab43U);
  std::vector<unsigned char> counting(32);
  std::iota(counting.begin(), counting.end(), static_cast<unsigned char>(0));
  EXPECT_EQ(crc32c(counting.data(), counting.size()), 0x46dd794eU);
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283U);
}

TEST(Crc32c, ContinuesAStreamAndChecksFiles) {
  const test::TemporaryDirectory folder;
  const std::string text(3'000'001, 'x');
  write_file_atomically(folder.path() / "f", text);
  const FileChecksum sum = checksum_file(folder.path() / "f");
  EXPECT_EQ(sum.bytes, text.size());
  EXPECT_EQ(sum.crc32c, crc32c(text.data() + 1000, text.size() - 1000, crc32c(text.data(), 1000)));
  EXPECT_THROW(checksum_file(folder.path() / "none"), IoError);
}

}  // namespace
}  // namespace vrwkv
