// SPDX-License-Identifier: Apache-2.0
// CMakeLists.txt forbids fused multiply-adds in this file: they could flip the last bit of a weight.
#include "data/image/resize_taps.h"

#include <algorithm>
#include <cmath>

namespace vrwkv::data {
namespace {

double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0.0;
}

/// The halves of an int32.
std::int32_t pair(std::int32_t first, std::int32_t second) {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(first) & 0xffff) |
                                   static_cast<std::uint32_t>(second) << 16);
}

PairWeights pair_weights(std::int32_t first, std::int32_t second) {
  constexpr int kBits = PairWeights::kLowBits;
  constexpr std::int32_t kMask = (1 << kBits) - 1;
  return {pair(first >> kBits, second >> kBits), pair(first & kMask, second & kMask)};
}

}  // namespace

ResizeTaps::ResizeTaps(std::int64_t in, std::int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const std::int64_t most = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
  stride_ = (most + 1) / 2;
  first_.resize(static_cast<std::size_t>(out));
  count_.resize(static_cast<std::size_t>(out));
  pairs_.resize(static_cast<std::size_t>(out * stride_));
  std::vector<double> exact(static_cast<std::size_t>(most));
  std::vector<std::int32_t> weights(static_cast<std::size_t>(most + 1));
  for (std::int64_t place = 0; place < out; ++place) {
    const double center = (static_cast<double>(place) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const std::int64_t count = std::min(static_cast<std::int64_t>(center + support + 0.5), in) - first;
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      exact[i] = cubic((static_cast<double>(i + first) - center + 0.5) * (1.0 / filter_scale));
      sum += exact[i];
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const double weight = exact[i] / sum * (1 << kResizeFractionBits);
      weights[i] = static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    weights[count] = 0;
    for (std::int64_t i = 0; i < count; i += 2)
      pairs_[place * stride_ + i / 2] = pair_weights(weights[i], weights[i + 1]);
    first_[place] = first;
    count_[place] = count;
  }
}

TapsView ResizeTaps::view() const {
  return {first_.data(), count_.data(), pairs_.data(), stride_, static_cast<std::int64_t>(first_.size())};
}

}  // namespace vrwkv::data
