// SPDX-License-Identifier: Apache-2.0
// bench_data_index FILE: indexes a data file on one core, then opens the index: seconds, and the memory of
// the process. tests/support/make_mixture.py writes one of full size.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>

#include "common/error.h"
#include "common/file_system.h"
#include "data/index/index_writer.h"

namespace {

using namespace vrwkv;

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// The most memory that the process held, mapped files included.
double peak_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

double open_milliseconds(const std::filesystem::path& index) {
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto opened = data::SampleIndex::open(index);
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
    least = std::min(least, taken.count());
  }
  return least;
}

void measure(const std::filesystem::path& file) {
  const auto tokenizer = data::Tokenizer::load(VRWKV_SOURCE_DIR "/.deps/rwkv_vocab_v20230424.txt");
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("bench-{}.index", ::getpid());
  const double before = peak_megabytes();
  const double start = processor_seconds();
  write_file_atomically(path, data::make_index(file, tokenizer, data::ConversationRules::kStrict));
  const double seconds = processor_seconds() - start;
  const auto index = data::SampleIndex::open(path);
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < index.size(); ++i) tokens += index.shape(i).text_tokens;
  const auto bytes = static_cast<double>(index.origin().bytes);
  fmt::print(
      "{{\"samples\": {}, \"megabytes\": {:.1f}, \"text_tokens\": {}, \"processor_seconds\": {:.2f}, "
      "\"MB_per_s\": {:.1f}, "
      "\"peak_mb\": {:.0f}, \"peak_mb_before\": {:.0f}, \"index_mb\": {:.1f}, \"open_ms\": {:.2f}}}\n",
      index.size(), bytes / 1e6, tokens, seconds, bytes / 1e6 / seconds, peak_megabytes(), before,
      static_cast<double>(std::filesystem::file_size(path)) / 1e6, open_milliseconds(path));
  std::filesystem::remove(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench_data_index FILE\n");
    return 2;
  }
  try {
    measure(argv[1]);
  } catch (const Error& error) {
    fmt::print(stderr, "bench_data_index: {}\n", error.what());
    return 1;
  }
  return 0;
}
