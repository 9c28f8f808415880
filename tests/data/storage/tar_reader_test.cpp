// SPDX-License-Identifier: Apache-2.0
#include "data/storage/tar_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/data/storage/storage_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using ::testing::HasSubstr;

std::vector<TarMember> list(const std::string& tar) {
  return list_tar("x.tar", tar.size(), [&](std::uint64_t offset, std::size_t count, char* to) {
    const std::size_t given = std::min<std::size_t>(count, tar.size() - offset);
    std::memcpy(to, tar.data() + offset, given);
    return given;
  });
}

std::string refusal(const std::string& tar) {
  try {
    list(tar);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

/// One header block with a right checksum, of a member of `size` (in octal, as the file has it).
std::string header(const std::string& name, const std::string& size, char type = '0') {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  block.replace(124, size.size(), size);
  block[156] = type;
  block.replace(257, 5, "ustar");
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  block.replace(148, 7, text, 7);
  return block;
}
const std::string kEnd(1024, '\0');

class TarFormats : public testing::TestWithParam<const char*> {};

TEST_P(TarFormats, HoldWhatTarPacked) {
  const std::string format = GetParam();
  const test::TemporaryDirectory folder;
  std::map<std::string, std::string> files = {
      {"a.jpg", "one"},
      {"coco/train2017/000000000009.jpg", std::string(512, 'x')},
      {"empty.png", ""},
      {std::string(90, 'd') + "/" + std::string(70, 'f') + ".jpg", "prefix"}};
  if (format != "ustar") {
    files[std::string(120, 'l') + "/" + std::string(180, 'm') + ".jpg"] = std::string(1500, 'y');
    files["gr\xc3\xbc\xc3\x9f \xe5\x9b\xbe.webp"] = "unicode";
  }
  for (const auto& [name, content] : files) test::write_file(folder.path() / "in" / name, content);
  std::filesystem::create_symlink("a.jpg", folder.path() / "in" / "link.jpg");
  std::filesystem::create_hard_link(folder.path() / "in" / "a.jpg", folder.path() / "in" / "a_hard_link.jpg");
  test::pack_tar(folder.path() / "x.tar", folder.path() / "in", format);

  const std::string tar = read_file(folder.path() / "x.tar");
  std::map<std::string, std::string> found;
  for (const TarMember& member : list(tar)) found[member.name] = tar.substr(member.offset, member.bytes);
  // Of two hard links tar packs one as a file, whichever it meets first.
  found.erase("a_hard_link.jpg");
  found["a.jpg"] = "one";
  EXPECT_EQ(found, files);
}
INSTANTIATE_TEST_SUITE_P(All, TarFormats, testing::Values("gnu", "ustar", "pax"));

TEST(ListTar, RefusesEveryShorterFile) {
  const test::TemporaryDirectory folder;
  test::write_file(folder.path() / "in" / (std::string(150, 'n') + ".jpg"), std::string(700, 'x'));
  for (const char* format : {"gnu", "pax"}) {
    test::pack_tar(folder.path() / "x.tar", folder.path() / "in", format);
    const std::string tar = read_file(folder.path() / "x.tar");
    const std::size_t end = tar.find_last_not_of('\0') / 512 * 512 + 512;
    for (std::size_t length = 0; length < end; length += 64)
      EXPECT_THAT(refusal(tar.substr(0, length)), HasSubstr("truncated")) << length;
  }
}

TEST(ListTar, TakesWholeNumbersOnly) {
  EXPECT_EQ(list(header("a", "00000000000") + kEnd).size(), 1U);
  EXPECT_THAT(refusal(header("a", "0000000000x") + kEnd), HasSubstr("size is no number"));
  EXPECT_THAT(refusal(header("a", "77777777777") + kEnd), HasSubstr("truncated"));
  // Base 256: 3, and more than 64 bits.
  EXPECT_EQ(
      list(header("a", std::string("\x80\0\0\0\0\0\0\0\0\0\0\3", 12)) + "abc" + std::string(509, '\0') + kEnd)
          .at(0)
          .bytes,
      3U);
  EXPECT_THAT(refusal(header("a", std::string(12, '\xff')) + kEnd), HasSubstr("size is no number"));
}

TEST(ListTar, RefusesDamage) {
  std::string flipped = header("a", "00000000000") + kEnd;
  flipped[3] = 'b';
  EXPECT_THAT(refusal(flipped), HasSubstr("no tar header"));
  EXPECT_THAT(refusal(header("a", "00000400000", 'L') + std::string(1 << 17, 'n') + kEnd),
              HasSubstr("65,536"));
  for (const std::string record :
       {"x path=a\n", "999 path=a\n", "3 a", "6 path\n", "0 path=a\n", " path=a\n"}) {
    std::string block = record;
    block.resize(512);
    EXPECT_THAT(
        refusal(header("h", fmt::format("{:011o}", record.size()), 'x') + block + header("a", "0") + kEnd),
        HasSubstr("pax header"))
        << record;
  }
}

}  // namespace
}  // namespace vrwkv::data
