// SPDX-License-Identifier: Apache-2.0
#include "sharding/reduction_tree.h"

#include <algorithm>
#include <bit>

#include "common/error.h"

namespace vrwkv::sharding {
namespace {

std::int64_t largest_power_of_two_up_to(std::int64_t value) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(value)));
}

class MergePlanner {
 public:
  MergePlanner(std::int64_t leaves, std::span<const TreeNode> nodes) : leaves_(leaves), nodes_(nodes) {}

  std::vector<Merge> plan() {
    const auto width = std::bit_ceil(static_cast<std::uint64_t>(leaves_));
    sum({.begin = 0, .size = static_cast<std::int64_t>(width)});
    if (next_ != nodes_.size()) fail();
    return std::move(merges_);
  }

 private:
  /// Plans the sum of `node` and returns where it ends up.
  std::size_t sum(const TreeNode& node) {
    if (next_ < nodes_.size() && nodes_[next_] == node) return next_++;
    if (node.size == 1) fail();
    const std::int64_t half = node.size / 2;
    const std::size_t left = sum({.begin = node.begin, .size = half});
    if (node.begin + half < leaves_)
      merges_.push_back({.left = left, .right = sum({.begin = node.begin + half, .size = half})});
    return left;
  }

  [[noreturn]] void fail() const {
    throw ShapeError(
        "reduction tree: node {} of {} does not fit (nodes cover all {} leaves in ascending order).", next_,
        nodes_.size(), leaves_);
  }

  std::int64_t leaves_;
  std::span<const TreeNode> nodes_;
  std::size_t next_ = 0;
  std::vector<Merge> merges_;
};

}  // namespace

LeafRange leaf_range(std::int64_t leaves, int rank, int world_size) {
  return {.begin = leaves * rank / world_size, .end = leaves * (rank + 1) / world_size};
}

std::vector<TreeNode> maximal_subtrees(const LeafRange& range) {
  std::vector<TreeNode> nodes;
  for (std::int64_t begin = range.begin; begin < range.end;) {
    const std::int64_t fitting = largest_power_of_two_up_to(range.end - begin);
    const std::int64_t alignment = begin & -begin;
    const std::int64_t size = begin == 0 ? fitting : std::min(alignment, fitting);
    nodes.push_back({.begin = begin, .size = size});
    begin += size;
  }
  return nodes;
}

int carries_after(const LeafRange& range, std::int64_t leaf) {
  const std::int64_t end = leaf + 1;
  int carries = 0;
  for (std::int64_t size = 2; end % size == 0 && end - size >= range.begin; size *= 2) ++carries;
  return carries;
}

std::int64_t most_partial_sums(const LeafRange& range) {
  std::int64_t held = 0;
  std::int64_t most = 0;
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
    most = std::max(most, ++held);
    held -= carries_after(range, leaf);
  }
  return most;
}

std::vector<Merge> merge_plan(std::int64_t leaves, std::span<const TreeNode> nodes) {
  if (leaves == 0 && nodes.empty()) return {};
  if (leaves < 1)
    throw ShapeError("reduction tree: {} leaves (a step has at least one micro-batch).", leaves);
  return MergePlanner(leaves, nodes).plan();
}

}  // namespace vrwkv::sharding
