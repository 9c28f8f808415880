// SPDX-License-Identifier: Apache-2.0
// Trees of additions, and the backends called with pointers as tree_sum.cpp does.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "kernels/tree_sum/addition_order.h"
#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::test {

struct TreeSumCase {
  std::int64_t count;
  std::vector<kernels::Merge> merges;
  std::int64_t values;
};

/// Neighbours first, then their sums, and so on: not depth first.
inline std::vector<kernels::Merge> level_by_level(std::size_t values) {
  std::vector<kernels::Merge> merges;
  for (std::size_t distance = 1; distance < values; distance *= 2)
    for (std::size_t left = 0; left + distance < values; left += 2 * distance)
      merges.push_back({left, left + distance});
  return merges;
}

/// The last is what 768 ranks with micro-batches that are no power of two may hold.
inline const TreeSumCase kTreeSumCases[] = {{1, {}, 1},
                                            {129, {{0, 1}}, 2},
                                            {1000, {{0, 1}, {2, 3}, {0, 2}, {0, 4}}, 5},
                                            {2049, {{3, 4}, {2, 3}, {1, 2}, {0, 1}}, 5},
                                            {1023, {{5, 6}, {1, 2}, {0, 1}, {3, 5}, {0, 3}}, 7},
                                            {130, level_by_level(64), 64},
                                            {130, level_by_level(65), 65},
                                            {7, level_by_level(2304), 2304}};

inline std::vector<at::Tensor> random_values(const TreeSumCase& c) {
  at::manual_seed(c.count);
  std::vector<at::Tensor> values;
  for (std::int64_t i = 0; i < c.values; ++i) values.push_back(at::randn({c.count}) * (i + 1));
  return values;
}

template <class Backend>
at::Tensor tree_sum_result(const Backend& backend, const TreeSumCase& c,
                           const std::vector<at::Tensor>& values) {
  const kernels::AdditionOrder order = kernels::addition_order(values.size(), c.merges);
  std::vector<const float*> pointers;
  std::vector<std::uint8_t> additions;
  for (const auto& step : order.steps) {
    pointers.push_back(values[step.value].const_data_ptr<float>());
    additions.push_back(static_cast<std::uint8_t>(step.additions));
  }
  at::Tensor sum = at::full({c.count}, NAN);
  backend(kernels::TreeSum{.values = pointers.data(),
                           .additions = additions.data(),
                           .value_count = static_cast<std::int64_t>(pointers.size()),
                           .depth = static_cast<std::int64_t>(order.depth),
                           .sum = sum.data_ptr<float>(),
                           .count = c.count});
  return sum;
}

}  // namespace vrwkv::test
