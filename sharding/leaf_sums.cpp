// SPDX-License-Identifier: Apache-2.0
#include "sharding/leaf_sums.h"

#include <vector>

#include "common/error.h"
#include "sharding/reduction_tree.h"

namespace vrwkv::sharding {

double sum_over_leaves(std::span<const double> values, std::int64_t micro_batches, Collectives& collectives) {
  std::vector<double> all = collectives.all_gather(values, "sum over micro-batches");
  if (static_cast<std::int64_t>(all.size()) != micro_batches)
    throw ShapeError("sum over micro-batches: {} values for {} micro-batches.", all.size(), micro_batches);
  std::vector<TreeNode> leaves(all.size());
  for (std::size_t i = 0; i < leaves.size(); ++i) leaves[i].begin = static_cast<std::int64_t>(i);
  for (const auto& [left, right] : merge_plan(micro_batches, leaves)) all[left] += all[right];
  return all.empty() ? 0.0 : all.front();
}

}  // namespace vrwkv::sharding
