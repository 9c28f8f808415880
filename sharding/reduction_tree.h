// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tree_sum/merge.h"

/// The one order in which per-micro-batch values are added.
///
/// Leaves 0 .. M-1 are the micro-batches of a step. The canonical tree over them is the binary tree whose
/// nodes are the aligned ranges [k * 2^h, (k + 1) * 2^h), cut at M; a node is its left half plus its right
/// half, or just its left half when the right one lies beyond M. A rank computes a contiguous range of leaves
/// and adds what the tree adds within it; whoever receives the results of all ranks adds the rest. So the sum
/// has the same bits for every number of ranks.
namespace vrwkv::sharding {

/// Leaves [begin, end).
struct LeafRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const noexcept { return end - begin; }
  bool operator==(const LeafRange&) const = default;
};

/// The leaves of one rank: contiguous, ascending with the rank, sizes differing by at most one.
LeafRange leaf_range(std::int64_t leaves, int rank, int world_size);

/// The node over leaves [begin, begin + size); size is a power of two that divides begin.
struct TreeNode {
  std::int64_t begin = 0;
  std::int64_t size = 1;
  bool operator==(const TreeNode&) const = default;
};

/// The fewest nodes that make up `range`, ascending: what a rank is left with after its last leaf.
std::vector<TreeNode> maximal_subtrees(const LeafRange& range);

/// How often the two newest partial sums are added into one once `leaf` is complete, when the leaves of
/// `range` come in ascending order: the carries of a binary counter.
int carries_after(const LeafRange& range, std::int64_t leaf);

/// The most partial sums held at once while the leaves of `range` come in: log2(size) + 1 for a range that is
/// one aligned subtree, at most 2 * log2(size) + 1 for any other.
std::int64_t most_partial_sums(const LeafRange& range);

using kernels::Merge;

/// The additions, in order, that turn the values of `nodes` into the sum over all `leaves`, which ends up in
/// value 0.
/// @param nodes  ascending, covering [0, leaves) without overlap: every rank's maximal_subtrees() one after
/// another.
/// @throws ShapeError when they do not.
std::vector<Merge> merge_plan(std::int64_t leaves, std::span<const TreeNode> nodes);

}  // namespace vrwkv::sharding
