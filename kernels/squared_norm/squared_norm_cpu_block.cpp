// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/lanes.h"
#include "kernels/squared_norm/squared_norm_backend.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// Leaves the sum of all in sums[0].
void add_up(double (&sums)[16]) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
}

double segment_sum(const float* values, std::int64_t count) {
  double sums[kNormSums] = {};
  const std::int64_t whole = count / kNormSums * kNormSums;
  for (std::int64_t i = 0; i < whole; i += kNormSums) {
#pragma GCC unroll 16
    for (int sum = 0; sum < kNormSums; ++sum) {
      const double value = values[i + sum];
      sums[sum] += value * value;
    }
  }
  for (std::int64_t i = whole; i < count; ++i) sums[i - whole] += static_cast<double>(values[i]) * values[i];
  add_up(sums);
  return sums[0];
}

}  // namespace

double sum_of_squares(const float* values, std::int64_t count) {
  double sums[kNormSegments] = {};
  for (std::int64_t first = 0; first < count; first += kNormSegment) {
    const std::int64_t left = count - first;
    sums[first / kNormSegment] = segment_sum(values + first, left < kNormSegment ? left : kNormSegment);
  }
  add_up(sums);
  return sums[0];
}

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
