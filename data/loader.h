// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/batch.h"
#include "data/data_config.h"

namespace vrwkv::data {

struct LoaderOptions {
  std::vector<std::int64_t> image_sizes;  ///< what the model's encoders want; empty for a text-only model
  std::int64_t tokens_per_image = 0;
  std::int64_t vocabulary_size = 65536;
  std::uint64_t seed = 0;
  int threads = 1;  ///< background threads that read samples
};

/// The part of a step that one caller wants: micro-batches [first_micro_batch, first_micro_batch + count).
struct StepSlice {
  std::int64_t step = 1;  ///< from 1
  std::int64_t global_batch_size = 0;
  std::int64_t micro_batch_size = 0;
  std::int64_t first_micro_batch = 0;
  std::int64_t count = 0;
  bool operator==(const StepSlice&) const = default;
};

/// Delivers the micro-batches of a training run. Micro-batch m of step s holds samples (s-1)G + mB up to
/// (s-1)G + (m+1)B - 1 of the order, with G and B the global and the micro batch size: its content depends on
/// these numbers, the seed and the configuration, never on ranks, threads or what was loaded before.
///
/// While the caller computes a step, background threads read the same slice of the next one; they hold at
/// most that one step. One thread at a time may call a Loader.
class Loader {
 public:
  /// Opens and checks the data file and the vocabulary (`config.vocabulary` must be set).
  /// @throws DataError when either cannot be used.  @throws ConfigError when the vocabulary size is out of
  /// range.
  Loader(const DataConfig& config, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Waits for the slice, starts on the next step, and returns.
  /// A sample that cannot be trained on is listed in its micro-batch and never thrown; whether it ends the
  /// run is the caller's business (DataConfig::on_bad_sample).
  /// @throws ConfigError when the sizes are not positive or the slice does not lie in the step.
  /// @throws DataError   when the data file was damaged since it was opened.
  std::vector<MicroBatch> load(const StepSlice& slice);

  /// Samples in the data file.
  std::int64_t samples() const;
  /// Samples among those returned so far (a bad one counts once for each time that it came up).
  std::int64_t cut_samples() const;
  std::int64_t bad_samples() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace vrwkv::data
