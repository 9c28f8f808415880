// SPDX-License-Identifier: Apache-2.0
#include "trainer/learning_rate_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vrwkv::trainer {

double LearningRateSchedule::at(std::int64_t updates) const {
  const auto done = static_cast<double>(updates - warmup_steps + 1);
  const auto whole = static_cast<double>(std::max<std::int64_t>(1, steps - warmup_steps));
  const double progress = std::clamp(done / whole, 0.0, 1.0);
  double rate = final + (initial - final) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  if (initial == final) rate = initial;
  if (updates < warmup_steps)
    rate *= 0.1 + 0.9 * static_cast<double>(updates) / static_cast<double>(warmup_steps);
  return rate;
}

}  // namespace vrwkv::trainer
