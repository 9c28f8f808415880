// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vrwkv::trainer {

/// Cosine with linear warm-up, as the original computes it (VisualRWKV v7.00, src/trainer.py).
struct LearningRateSchedule {
  double initial = 0;
  double final = 0;
  std::int64_t warmup_steps = 0;
  std::int64_t steps = 0;

  /// The rate of the update after `updates` completed ones: a cosine from `initial` that reaches `final` at
  /// the last update, times 0.1 .. 1 during the warm-up.
  double at(std::int64_t updates) const;
};

}  // namespace vrwkv::trainer
