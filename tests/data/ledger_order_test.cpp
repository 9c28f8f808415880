// SPDX-License-Identifier: Apache-2.0
#include "data/ledger_order.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/data_test_support.h"

namespace vrwkv::data {
namespace {

using test::message_of;
using ::testing::HasSubstr;

std::string header_of(const std::string& samples, const std::string& samples_per_epoch,
                      const std::string& seed = "7") {
  return fmt::format(R"({{"order": "bijection", "seed": {}, "sources": [)"
                     R"({{"samples": 5, "samples_per_epoch": 5, "takes_all": true}}, )"
                     R"({{"samples": {}, "samples_per_epoch": {}, "takes_all": false}}]}})",
                     seed, samples, samples_per_epoch);
}

TEST(LedgerOrder, IsTheOrderThatWroteTheHeader) {
  for (const auto kind : {SampleOrder::kBijection, SampleOrder::kVisualRwkv}) {
    const MixtureOrder order({{20, 20, true}, {30, 15, false}}, 5, kind);
    const LedgerOrder read = ledger_order(ledger_header(order, 5, kind, 0xabc));
    EXPECT_EQ(read.records, 50);
    EXPECT_EQ(read.pass_length, order.pass_length());
    EXPECT_EQ(read.left_out, order.left_out_per_pass());
    for (std::int64_t position = 0; position < 200; ++position)
      EXPECT_EQ(read.record_at(position), order.at(position));
    for (std::int64_t record = 0; record < 50; ++record)
      EXPECT_EQ(read.most_per_pass(record), order.most_per_pass(record));
  }
}

// Whoever computes the order again must neither run out of memory nor of numbers.
TEST(LedgerOrder, RefusesWhatNoRunHas) {
  EXPECT_EQ(ledger_order(header_of("3", "2")).records, 8);
  EXPECT_EQ(ledger_order(header_of("281474976710651", "281474976710651")).records, std::int64_t{1} << 48);
  for (const char* number :
       {"0", "-1", "281474976710652", "18446744073709551615", "1e300", "\"3\"", "null"}) {
    EXPECT_THAT(message_of<DataError>([&] { ledger_order(header_of(number, "2")); }),
                HasSubstr("'samples' is "));
    EXPECT_THAT(message_of<DataError>([&] { ledger_order(header_of("3", number)); }),
                HasSubstr("'samples_per_epoch' is "));
  }
  for (const char* seed : {"-1", "0.5", "[]"})
    EXPECT_THAT(message_of<DataError>([&] { ledger_order(header_of("3", "2", seed)); }),
                HasSubstr("'seed' is"));
  EXPECT_THAT(message_of<DataError>([&] {
                ledger_order(R"({"order": "bijection", "seed": 1, "sources": [)"
                             R"({"samples": 5, "samples_per_epoch": 7, "takes_all": true}]})");
              }),
              HasSubstr("all 5 samples of a source in 7 places"));
  for (const char* header :
       {"", "{}", "[]", "{\"sources\": []}", "{\"order\": 1, \"seed\": 1, \"sources\": []}"})
    EXPECT_THAT(message_of<DataError>([&] { ledger_order(header); }),
                HasSubstr("the header does not describe a data order"));
}

}  // namespace
}  // namespace vrwkv::data
