// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "data/data_config.h"
#include "data/index/mixture.h"
#include "data/ledger/quarantine.h"
#include "data/mixture_order.h"
#include "data/plan/step_plan.h"
#include "data/sample_reader.h"
#include "data/text/tokenizer.h"

namespace vrwkv::data {

struct StepReaderOptions {
  std::vector<std::int64_t> image_sizes;  ///< what the model's encoders want; empty for a text-only model
  std::int64_t tokens_per_image = 0;
  std::shared_ptr<const ImageFeatures> features = {};  ///< read instead of images; then image_sizes is empty
  std::int64_t vocabulary_size = 65536;
  std::uint64_t seed = 0;
  StepPlanner::Options step;
  /// For indexes whose data files lie where nothing can be written; "": none.
  std::filesystem::path index_folder = {};
};

/// Plans the steps of a training run and reads their samples, each on its own. Immutable: threads may share
/// it.
class StepReader {
 public:
  /// Opens and checks the data file, the vocabulary (`config.vocabulary` must be set) and the quarantine
  /// list.
  /// @throws DataError when one cannot be used.  @throws ConfigError when the vocabulary size is out of
  /// range.
  StepReader(const DataConfig& config, StepReaderOptions options);
  StepReader(const StepReader&) = delete;
  StepReader& operator=(const StepReader&) = delete;

  /// The step that begins at `position`.
  /// @throws DataError when bad samples leave nothing to fill a place with, or the file was damaged since.
  StepPlan plan(std::int64_t position) const { return planner_.plan(position); }

  /// The sample that takes a place of a step: the planned one or, with BadSamplePolicy::kReplace and when
  /// that turns out to be bad, the next by rule; else it may be marked bad.
  /// @throws DataError as plan().
  Sample read(const StepPlan& step, const PlannedSample& place) const;
  /// What read() will take of memory, about.
  std::int64_t bytes(const PlannedSample& place) const;

  MicroBatch pack_samples(const std::vector<Sample>& samples) const {
    return pack(samples, reader_.image_sizes());
  }
  const Mixture& mixture() const { return mixture_; }
  /// Quarantine::checksum() of the list that the configuration names.
  std::uint32_t quarantine_checksum() const { return quarantine_.checksum(); }
  /// See ledger_header().
  std::string header_of_ledger() const;

 private:
  SampleOutline outline_of(std::int64_t record) const;

  const std::int64_t context_length_;
  const bool replaces_;
  const std::uint64_t seed_;
  const SampleOrder kind_of_order_;
  const Tokenizer tokenizer_;
  const Mixture mixture_;
  const MixtureOrder order_;
  const Substitution substitution_;
  const SampleReader reader_;
  const Quarantine quarantine_;
  const StepPlanner planner_;
};

}  // namespace vrwkv::data
