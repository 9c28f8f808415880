// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/quarantine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/file_system.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using ::testing::HasSubstr;

TEST(Quarantine, ReadsBackWhatItWrote) {
  const test::TemporaryDirectory directory;
  const auto file = directory.path() / "quarantine.json";
  Quarantine quarantine(0x0123456789abcdef);
  EXPECT_TRUE(quarantine.add({7, "a", "mix.json: sample 'a': no \"image\""}));
  EXPECT_TRUE(quarantine.add({2, "b\xff", "gone"}));
  EXPECT_FALSE(quarantine.add({7, "a", "again"}));
  quarantine.write(file);
  const Quarantine read = Quarantine::read(file);
  EXPECT_TRUE(read.is_of(0x0123456789abcdef));
  EXPECT_FALSE(read.is_of(0x123456789abcdef0));
  EXPECT_EQ(read.checksum(), quarantine.checksum());
  EXPECT_THAT(read_file(file), HasSubstr(R"("fingerprint": "0123456789abcdef")"));
  EXPECT_EQ(read.samples().size(), 2U);
  EXPECT_TRUE(read.contains(2));
  EXPECT_FALSE(read.contains(3));
  EXPECT_EQ(read.samples().at(7).reason, "mix.json: sample 'a': no \"image\"");
  EXPECT_EQ(read.samples().at(2).id, "b\xef\xbf\xbd");
}

TEST(Quarantine, TheChecksumIsOfTheRecordsAlone) {
  Quarantine one(1), other(2), third(1);
  one.add({3, "a", "no image"});
  other.add({3, "b", "no answer"});
  third.add({4, "a", "no image"});
  EXPECT_EQ(one.checksum(), other.checksum());
  EXPECT_NE(one.checksum(), third.checksum());
  EXPECT_NE(one.checksum(), Quarantine(1).checksum());
}

TEST(Quarantine, RefusesOtherFiles) {
  const test::TemporaryDirectory directory;
  const auto file = directory.path() / "list.json";
  for (const char* text :
       {"", "[]", "{}", "{\"samples\": []}", "{\"fingerprint\": 7, \"samples\": []}",
        "{\"fingerprint\": \"0\", \"samples\": [{\"record\": \"7\"}]}",
        "{\"fingerprint\": \"0\", \"samples\": 3}",
        R"({"fingerprint": "0", "samples": [{"record": 1.9, "id": "a", "reason": ""}]})",
        R"({"fingerprint": "0", "samples": [{"record": -5, "id": "a", "reason": ""}]})",
        R"({"fingerprint": "0", "samples": [{"record": 1e30, "id": "a", "reason": ""}]})"}) {
    write_file_atomically(file, text);
    try {
      Quarantine::read(file);
      FAIL() << text;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("list.json: is no list of quarantined samples")) << text;
    }
  }
  EXPECT_THROW(Quarantine::read(directory.path() / "none.json"), DataError);
}

}  // namespace
}  // namespace vrwkv::data
