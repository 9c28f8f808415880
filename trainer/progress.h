// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "trainer/metrics.h"

namespace vrwkv::trainer {

/// Shows a run on standard error: a bar that redraws itself on a terminal, a plain line now and then
/// elsewhere (every ten seconds, and the first and last step).
class Progress {
 public:
  Progress(std::int64_t first_step, std::int64_t last_step);
  /// Leaves the cursor on a fresh line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const StepMetrics& metrics);

 private:
  using Clock = std::chrono::steady_clock;
  void draw_bar(const StepMetrics& metrics, double eta_seconds) const;

  std::int64_t first_step_;
  std::int64_t last_step_;
  bool terminal_;
  bool drawn_ = false;
  double seconds_per_step_ = 0;   // smoothed
  double tokens_per_second_ = 0;  // smoothed
  Clock::time_point last_line_;
};

}  // namespace vrwkv::trainer
