// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "data/data_config.h"
#include "data/step_reader.h"

namespace vrwkv::data {

/// The part of a step that one caller wants: micro-batches [first_micro_batch, first_micro_batch + count).
struct StepSlice {
  std::int64_t position = 0;  ///< of the step's first sample in the data order, from 0
  std::int64_t first_micro_batch = 0;
  std::int64_t count = 0;
  bool operator==(const StepSlice&) const = default;
};

struct LoadedStep {
  StepPlan plan;  ///< of the whole step
  std::vector<MicroBatch> micro_batches;
};

/// Delivers the micro-batches of a training run. What is in them depends on the position, the seed and the
/// configuration, never on ranks, threads or what was loaded before.
///
/// While the caller computes a step, background threads read the same slice of the next one. When the caller
/// has had to wait they read further ahead from then on, as many steps as DataConfig::prefetch_bytes hold,
/// and the next one in any case. One thread at a time may call a Loader.
class Loader {
 public:
  /// @param threads  that read in the background, 1 or more.
  /// @throws  what StepReader does; ConfigError without a thread.
  Loader(const DataConfig& config, StepReaderOptions options, int threads);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Waits for the slice and returns it.
  /// A sample that cannot be trained on is listed in its micro-batch; whether it ends the run is the caller's
  /// business (DataConfig::on_bad_sample).
  /// @throws ConfigError when the slice does not lie in a step.
  /// @throws DataError   as StepReader does.
  LoadedStep load(const StepSlice& slice);

  /// What it reads.
  const Mixture& mixture() const;
  /// Quarantine::checksum() of the list that the configuration names.
  std::uint32_t quarantine_checksum() const;
  /// See ledger_header().
  std::string header_of_ledger() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace vrwkv::data
