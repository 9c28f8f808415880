// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum/addition_order.h"

#include <algorithm>

namespace vrwkv::kernels {

AdditionOrder addition_order(std::size_t values, std::span<const Merge> merges) {
  std::vector<std::vector<AdditionOrder::Step>> sums(values);
  for (std::size_t value = 0; value < values; ++value) sums[value] = {{value, 0}};
  for (const Merge& merge : merges) {
    const std::vector<AdditionOrder::Step> right = sums[merge.right];
    std::vector<AdditionOrder::Step>& left = sums[merge.left];
    left.insert(left.end(), right.begin(), right.end());
    ++left.back().additions;
  }
  AdditionOrder order{.steps = std::move(sums.front())};
  std::size_t height = 0;
  for (const AdditionOrder::Step& step : order.steps) {
    order.depth = std::max(order.depth, ++height);
    height -= step.additions;
  }
  return order;
}

}  // namespace vrwkv::kernels
