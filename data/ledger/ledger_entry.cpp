// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/ledger_entry.h"

#include "common/error.h"

namespace vrwkv::data {
namespace {

/// Every number is below 2^49: more than any run counts, and sums of a few do not overflow.
constexpr int kNumberBits = 49;

void put(std::string& bytes, std::int64_t number) {
  auto rest = static_cast<std::uint64_t>(number);
  for (; rest >= 0x80; rest >>= 7) bytes.push_back(static_cast<char>(rest | 0x80));
  bytes.push_back(static_cast<char>(rest));
}

std::int64_t take(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (int shift = 0; shift < kNumberBits; shift += 7) {
    if (bytes.empty()) throw DataError("an entry ends within a number");
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return static_cast<std::int64_t>(number);
  }
  throw DataError("an entry holds a number of more than {} bits", kNumberBits);
}

/// Each thing that is counted takes `least_bytes`, so that a wrong count reserves no memory.
std::size_t take_count(std::string_view& bytes, std::size_t least_bytes) {
  const std::int64_t count = take(bytes);
  if (static_cast<std::uint64_t>(count) > bytes.size() / least_bytes)
    throw DataError("an entry of {} more bytes counts {} things", bytes.size(), count);
  return static_cast<std::size_t>(count);
}

}  // namespace

std::string encode(const LedgerEntry& entry) {
  std::string bytes;
  put(bytes, entry.step);
  put(bytes, entry.position);
  put(bytes, entry.places);
  put(bytes, static_cast<std::int64_t>(entry.micro_batches.size()));
  for (const auto& records : entry.micro_batches) {
    put(bytes, static_cast<std::int64_t>(records.size()));
    for (const std::int64_t record : records) put(bytes, record);
  }
  put(bytes, static_cast<std::int64_t>(entry.replacements.size()));
  for (const Replacement& replacement : entry.replacements) {
    put(bytes, replacement.place);
    put(bytes, replacement.record);
    put(bytes, replacement.attempts);
    put(bytes, replacement.substitute + 1);
  }
  return bytes;
}

LedgerEntry decode(std::string_view bytes) {
  LedgerEntry entry;
  entry.step = take(bytes);
  entry.position = take(bytes);
  entry.places = take(bytes);
  entry.micro_batches.resize(take_count(bytes, 1));
  for (auto& records : entry.micro_batches) {
    records.resize(take_count(bytes, 1));
    for (std::int64_t& record : records) record = take(bytes);
  }
  entry.replacements.resize(take_count(bytes, 4));
  for (Replacement& replacement : entry.replacements) {
    replacement.place = take(bytes);
    replacement.record = take(bytes);
    replacement.attempts = take(bytes);
    replacement.substitute = take(bytes) - 1;
  }
  if (!bytes.empty()) throw DataError("an entry goes on for {} bytes after its end", bytes.size());
  return entry;
}

}  // namespace vrwkv::data
