// SPDX-License-Identifier: Apache-2.0
// Bytes as a data file to be prepared: refused with an error of ours, or made into a file in which nothing is
// left to prepare; shuffled, into as many samples.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "common/error.h"
#include "common/file_system.h"
#include "data/prepare/prepare_file.h"

namespace {

using namespace vrwkv::data;

/// A folder in memory.
const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    const std::filesystem::path made = "/dev/shm/fuzz-prepare-" + std::to_string(::getpid());
    std::filesystem::create_directory(made);
    return made;
  }();
  return path;
}

std::optional<PrepareSummary> prepare(const char* input, const char* output, const PrepareOptions& options) {
  try {
    return prepare_file(folder() / input, folder() / output, options);
  } catch (const vrwkv::DataError&) {
    return std::nullopt;
  }
}

std::string bytes_of(const char* name) { return vrwkv::read_file(folder() / name); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  PrepareOptions options{.rules = {.most_rounds = 2}};
  std::ofstream(folder() / "input", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  const auto once = prepare("input", "once", options);
  if (once) {
    const auto again = prepare("once", "again", options);
    if (!again || again->split_samples + again->dropped_rounds + again->dropped_samples > 0) __builtin_trap();
    if (bytes_of("once") != bytes_of("again")) __builtin_trap();
  }
  options.shuffle_seed = 22;
  const auto shuffled = prepare("input", "shuffled", options);
  if (shuffled.has_value() != once.has_value()) __builtin_trap();
  if (shuffled && shuffled->samples_out != once->samples_out) __builtin_trap();
  return 0;
}
