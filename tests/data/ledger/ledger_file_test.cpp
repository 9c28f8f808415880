// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/ledger_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

LedgerEntry entry_of(std::int64_t step) {
  return {.step = step,
          .position = (step - 1) * 4,
          .places = 4,
          .micro_batches = {{step, 665297}, {}, {127 * step, 128}},
          .replacements = {{.place = 2, .record = 5, .attempts = 1, .substitute = 128},
                           {.place = 3, .record = std::int64_t{1} << 40, .attempts = 3, .substitute = -1}}};
}

class LedgerFile : public ::testing::Test {
 protected:
  void write(std::int64_t steps) const {
    LedgerWriter writer(file_, "header", 0);
    for (std::int64_t step = 1; step <= steps; ++step) writer.append(entry_of(step));
  }
  std::int64_t whole_entries() const {
    LedgerReader reader(file_);
    std::int64_t entries = 0;
    while (const auto entry = reader.next()) EXPECT_EQ(*entry, entry_of(++entries));
    return entries;
  }
  template <class Exception>
  static std::string message_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Exception& error) {
      return error.what();
    }
    return "nothing was thrown";
  }

  test::TemporaryDirectory directory_;
  fs::path file_ = directory_.path() / "ledger.bin";
};

TEST_F(LedgerFile, ReadsBackWhatWasWritten) {
  write(5);
  EXPECT_EQ(LedgerReader(file_).header(), "header");
  EXPECT_EQ(whole_entries(), 5);
}

TEST_F(LedgerFile, AResumeCutsOffWhatLiesBehindItsCheckpoint) {
  write(5);
  LedgerWriter(file_, "header", 3).append(entry_of(4));
  EXPECT_EQ(whole_entries(), 4);
  LedgerWriter again(file_, "header", 0);
  EXPECT_EQ(whole_entries(), 0);
}

// A kill may leave any number of bytes of the last write.
TEST_F(LedgerFile, ATornEntryIsNotReadAndIsOverwritten) {
  write(2);
  const auto two = fs::file_size(file_);
  write(3);
  const auto three = fs::file_size(file_);
  for (auto size = two; size < three; ++size) {
    write(3);
    fs::resize_file(file_, size);
    LedgerReader reader(file_);
    while (reader.next()) continue;
    EXPECT_EQ(reader.position(), two);
    EXPECT_EQ(reader.torn_bytes(), size - two);
    LedgerWriter(file_, "header", 2).append(entry_of(3));
    EXPECT_EQ(whole_entries(), 3);
  }
}

TEST_F(LedgerFile, EveryChangedByteIsNoticed) {
  write(2);
  const std::string whole = read_file(file_);
  for (const int change : {0x01, 0x10, 0x80}) {
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      std::ofstream(file_, std::ios::binary) << changed;
      EXPECT_THROW(whole_entries(), DataError) << "byte " << at;
    }
  }
}

// A frame that claims to be longer than the rest of the file must not pass for a torn last one.
TEST_F(LedgerFile, ALongerLengthInTheMiddleIsDamageAndNoEnd) {
  write(1);
  const auto begin_of_second = fs::file_size(file_);
  write(5);
  const std::string whole = read_file(file_);
  for (const std::size_t byte : {0U, 1U, 3U}) {
    std::string longer = whole;
    longer[begin_of_second + byte] = '\x7f';
    write_file_atomically(file_, longer);
    EXPECT_THAT(message_of<DataError>([&] { whole_entries(); }),
                HasSubstr("ledger.bin: entry 2: the checksum of its length differs"));
    EXPECT_THAT(message_of<CheckpointError>([&] { LedgerWriter(file_, "header", 5); }),
                HasSubstr("Restore the file."));
  }
}

TEST_F(LedgerFile, RefusesToGoOnFromWhatIsNotThere) {
  write(2);
  EXPECT_THAT(message_of<CheckpointError>([&] { LedgerWriter(file_, "header", 3); }),
              HasSubstr("ledger.bin: 2 entries but the checkpoint was written after step 3"));
  EXPECT_THAT(message_of<DataError>([&] { LedgerWriter(file_, "other", 2); }),
              HasSubstr("ledger.bin: the run was begun on other data than it would go on with (header then, "
                        "other now"));
  std::string bytes = read_file(file_);
  bytes[bytes.size() - 1] = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(file_, bytes);
  EXPECT_THAT(message_of<CheckpointError>([&] { LedgerWriter(file_, "header", 2); }),
              HasSubstr("entry 2: the checksum differs"));
  fs::remove(file_);
  EXPECT_THAT(message_of<CheckpointError>([&] { LedgerWriter(file_, "header", 2); }),
              HasSubstr("cannot be opened"));
}

TEST_F(LedgerFile, RefusesWhatIsNoLedger) {
  write_file_atomically(file_, "{\"no\": \"ledger\"}");
  EXPECT_THAT(message_of<DataError>([&] { LedgerReader{file_}; }), HasSubstr("is no ledger"));
  write_file_atomically(file_, "vrwkvlg1\xff\xff\xff\xff");
  EXPECT_THAT(message_of<DataError>([&] { LedgerReader{file_}; }), HasSubstr("ends within its header"));
}

TEST(LedgerEntry, RefusesBytesThatAreNone) {
  const std::string whole = encode(entry_of(1));
  EXPECT_EQ(decode(whole), entry_of(1));
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(decode(std::string_view(whole).substr(0, size)), DataError) << size;
  EXPECT_THROW(decode(whole + '\0'), DataError);
  EXPECT_THROW(decode("\x01\x02\x03\xff\xff\xff\xff\xff\xff\xff\x7f"), DataError) << "a count without end";
  EXPECT_THROW(decode(std::string(20, '\xff')), DataError) << "a number without end";
  LedgerEntry entry = entry_of(1);
  entry.position = std::int64_t{1} << 49;
  EXPECT_THROW(decode(encode(entry)), DataError) << "a number that no run counts to";
}

// What an epoch of the mixture takes: about 3 bytes a sample.
TEST(LedgerEntry, IsCompact) {
  LedgerEntry entry{.step = 5198, .position = 665216, .places = 128, .micro_batches = {}, .replacements = {}};
  for (std::int64_t m = 0; m < 32; ++m) entry.micro_batches.push_back({665297, 400000, 300000, 200000});
  EXPECT_LT(encode(entry).size(), 430U);
}

}  // namespace
}  // namespace vrwkv::data
