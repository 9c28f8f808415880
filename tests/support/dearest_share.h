// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace vrwkv::test {

/// The dearest of `ranks` contiguous shares of a step's micro-batches over their mean.
/// @param costs  of each micro-batch; `ranks` divides their number.
template <class Cost>
double dearest_share(const std::vector<Cost>& costs, std::int64_t ranks) {
  const auto each = static_cast<std::ptrdiff_t>(costs.size()) / ranks;
  Cost dearest = 0;
  for (auto at = costs.begin(); at != costs.end(); at += each)
    dearest = std::max(dearest, std::accumulate(at, at + each, Cost{0}));
  const Cost all = std::accumulate(costs.begin(), costs.end(), Cost{0});
  return static_cast<double>(dearest) * static_cast<double>(ranks) / static_cast<double>(all);
}

}  // namespace vrwkv::test
