// SPDX-License-Identifier: Apache-2.0
// Bytes as a ledger, as the header and the entries of one that was written whole, and as a list of
// quarantined samples: refused as bad data, or read to the end and held against its own order.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "common/error.h"
#include "data/ledger/quarantine.h"
#include "data/ledger_order.h"

namespace {

using namespace vrwkv::data;

/// A file in memory.
const std::filesystem::path& file() {
  static const std::filesystem::path path = "/dev/shm/fuzz-ledger-" + std::to_string(::getpid());
  return path;
}

void verify() {
  try {
    LedgerReader reader(file());
    verify_ledger(reader, ledger_order(reader.header()));
  } catch (const vrwkv::DataError&) {
  }
}

/// The bytes before the first new line are the header; then come entries, each behind a byte with its length.
void write_parts(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\n'), bytes.size());
  LedgerWriter writer(file(), std::string(bytes.substr(0, end)), 0);
  bytes.remove_prefix(std::min(end + 1, bytes.size()));
  while (!bytes.empty()) {
    const std::string_view entry = bytes.substr(1, static_cast<unsigned char>(bytes.front()));
    bytes.remove_prefix(1 + entry.size());
    try {
      writer.append(decode(entry));
    } catch (const vrwkv::DataError&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  std::ofstream(file(), std::ios::binary) << bytes;
  verify();
  try {
    Quarantine::read(file());
  } catch (const vrwkv::DataError&) {
  }
  write_parts(bytes);
  verify();
  std::filesystem::remove(file());
  return 0;
}
