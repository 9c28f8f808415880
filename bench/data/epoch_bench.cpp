// SPDX-License-Identifier: Apache-2.0
// bench_data_epoch FILE IMAGE_FOLDER: loads an epoch of a data file, a fifth of it as each of 1, 2, 3, 4 and
// 8 ranks would, writes down which samples the ranks were given, and proves the ledger: seconds, and the
// memory of the process. tests/support/make_mixture.py writes a file of full size.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <vector>

#include "common/error.h"
#include "data/ledger_order.h"
#include "data/loader.h"
#include "tests/support/temporary_directory.h"

namespace {

using namespace vrwkv;
namespace fs = std::filesystem;

constexpr std::int64_t kMicroBatches = 32;

double peak_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// The loaders of so many ranks.
class Ranks {
 public:
  Ranks(const fs::path& file, const fs::path& images, std::int64_t count) {
    data::DataConfig config;
    config.sources = {{.file = file, .image_folder = {images}}};
    config.vocabulary = VRWKV_SOURCE_DIR "/.deps/rwkv_vocab_v20230424.txt";
    config.context_length = 2048;
    data::StepReaderOptions options;
    options.image_sizes = {16};
    options.tokens_per_image = 576;
    options.seed = 42;
    options.step = {.tokens = 150'000, .micro_batches = kMicroBatches, .image_cost = 360};
    for (std::int64_t rank = 0; rank < count; ++rank)
      loaders_.push_back(std::make_unique<data::Loader>(config, options, 1));
  }

  /// What all ranks together were given for the step that begins at `position`.
  data::LedgerEntry load(std::int64_t step, std::int64_t position) {
    data::LedgerEntry entry;
    entry.step = step;
    entry.position = position;
    const auto count = static_cast<std::int64_t>(loaders_.size());
    for (std::int64_t rank = 0; rank < count; ++rank) {
      const std::int64_t first = kMicroBatches * rank / count, end = kMicroBatches * (rank + 1) / count;
      const data::LoadedStep loaded =
          loaders_[static_cast<std::size_t>(rank)]->load({position, first, end - first});
      if (rank > 0 && loaded.plan.samples != entry.places)
        throw DataError("step {}: the ranks do not agree on its length", step);
      entry.places = loaded.plan.samples;
      for (const data::MicroBatch& batch : loaded.micro_batches) {
        auto& records = entry.micro_batches.emplace_back();
        for (const auto& packed : batch.packed) records.push_back(packed.record);
        entry.replacements.insert(entry.replacements.end(), batch.replacements.begin(),
                                  batch.replacements.end());
      }
    }
    std::sort(entry.replacements.begin(), entry.replacements.end(),
              [](const data::Replacement& a, const data::Replacement& b) { return a.place < b.place; });
    return entry;
  }
  const data::Loader& first() const { return *loaders_.front(); }

 private:
  std::vector<std::unique_ptr<data::Loader>> loaders_;
};

void measure(const fs::path& file, const fs::path& images) {
  const test::TemporaryDirectory directory;
  const fs::path ledger = directory.path() / "ledger.bin";
  const auto start = std::chrono::steady_clock::now();
  std::unique_ptr<data::LedgerWriter> writer;
  std::int64_t step = 0, position = 0, fifth = 0, samples = 1;
  for (const std::int64_t count : {1, 2, 3, 4, 8}) {
    Ranks ranks(file, images, count);
    samples = ranks.first().mixture().size();
    writer = std::make_unique<data::LedgerWriter>(ledger, ranks.first().header_of_ledger(), step);
    for (++fifth; position < samples * fifth / 5;) {
      const data::LedgerEntry entry = ranks.load(++step, position);
      writer->append(entry);
      position += entry.places;
    }
  }
  data::LedgerReader reader(ledger);
  const data::LedgerProof proof = data::verify_ledger(reader, data::ledger_order(reader.header()));
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  for (const std::string& problem : proof.problems) fmt::print(stderr, "{}\n", problem);
  fmt::print(
      "{{\"samples\": {}, \"proven\": {}, \"whole_epochs\": {}, \"steps\": {}, \"replaced\": {}, "
      "\"seconds\": {:.1f}, \"ledger_mb\": {:.2f}, \"peak_mb\": {:.0f}}}\n",
      samples, proof.proven(), proof.whole_passes, proof.steps, proof.replaced, taken.count(),
      static_cast<double>(fs::file_size(ledger)) / 1e6, peak_megabytes());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_data_epoch FILE IMAGE_FOLDER\n");
    return 2;
  }
  try {
    measure(argv[1], argv[2]);
  } catch (const Error& error) {
    fmt::print(stderr, "bench_data_epoch: {}\n", error.what());
    return 1;
  }
  return 0;
}
