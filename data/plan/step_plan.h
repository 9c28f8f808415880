// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/plan/substitution.h"

namespace vrwkv::data {

/// What is known of a sample before it is read.
struct SampleOutline {
  std::int64_t tokens = 0;  ///< of images, too; after the cut to the context
  std::int64_t images = 0;
  bool is_bad = false;  ///< another takes its place
};

/// One place of a step.
struct PlannedSample {
  std::int64_t position = 0;  ///< in the order of the run
  std::int64_t attempt = 0;   ///< 0: the place's own sample; more: so many before it are known to be bad
  std::int64_t record = 0;    ///< the sample that is to be read
  SampleOutline outline;      ///< of `record`
};

/// Which sample enters which micro-batch of a step.
struct StepPlan {
  std::int64_t position = 0;                              ///< of the first sample
  std::int64_t samples = 0;                               ///< the next step begins at position + samples
  std::vector<std::vector<PlannedSample>> micro_batches;  ///< places ascending within each
};

/// Plans steps: takes samples from the order, puts others in the places of those that are known to be bad,
/// and deals them to micro-batches. A pure function of the position: whoever plans a step need not have
/// planned the one before.
class StepPlanner {
 public:
  struct Options {
    std::int64_t samples = 0;        ///< of a step; 0: `tokens` says how many
    std::int64_t tokens = 0;         ///< a step takes samples until it holds so many tokens
    std::int64_t micro_batches = 1;  ///< of a step
    std::int64_t image_cost = 0;     ///< what an image costs beside its tokens, in tokens
  };
  /// @param record_at  the order: the record at a position. Called by any thread that plans.
  /// @param outline_of   of a record.
  StepPlanner(std::function<std::int64_t(std::int64_t)> record_at,
              std::function<SampleOutline(std::int64_t)> outline_of, Substitution substitution,
              Options options);

  /// @throws DataError when a place and all that may take it are bad, or a whole pass over the data holds
  /// fewer tokens than the step.
  StepPlan plan(std::int64_t position) const;

 private:
  PlannedSample planned(std::int64_t position) const;

  std::function<std::int64_t(std::int64_t)> record_at_;
  std::function<SampleOutline(std::int64_t)> outline_of_;
  Substitution substitution_;
  Options options_;
};

}  // namespace vrwkv::data
