// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "sharding/collectives.h"
#include "sharding/reduction_tree.h"
#include "sharding/shard_layout.h"

namespace vrwkv::sharding {

/// Adds the flat gradients of a step's micro-batches along the canonical tree (reduction_tree.h): the same
/// bits for every world size and every bucket size. A step is, on every rank,
///
///     for each micro-batch in leaves(), ascending:  add its gradient into leaf(), then finish_leaf()
///     shard = reduce()
///
/// Holds at most most_partial_sums(leaves()) flat buffers, kept for the next step, and exchange buffers of
/// about `bucket_elements` elements for each tree node that travels.
class GradientReducer {
 public:
  static constexpr std::int64_t kBucketElements = std::int64_t{1} << 23;

  /// @param layout           of the flat gradient; its world size is that of `collectives`.
  /// @param collectives      must outlive this object.
  /// @param micro_batches    M, of the whole step over all ranks.
  /// @param bucket_elements  elements of the flat gradient exchanged at once; bounds memory, never changes a
  /// bit.
  /// @param device           where gradients and partial sums lie.
  /// @throws ShapeError when layout and collectives disagree, or a count is below 1.
  GradientReducer(const ShardLayout& layout, Collectives& collectives, std::int64_t micro_batches,
                  std::int64_t bucket_elements = kBucketElements, c10::Device device = c10::kCPU);

  /// The micro-batches this rank computes.
  const LeafRange& leaves() const noexcept { return leaves_; }
  /// The next micro-batch that leaf() is for.
  std::int64_t next_leaf() const noexcept { return next_leaf_; }

  /// (layout.padded_numel()) fp32, zero at first: where the next micro-batch's gradient is accumulated. Valid
  /// until finish_leaf(). @throws ShapeError when this rank has no micro-batch left in this step.
  at::Tensor& leaf();
  /// Folds the leaf into the partial sums.
  void finish_leaf();

  /// Collective. Exchanges the partial sums and returns this rank's shard of the sum over all M
  /// micro-batches, (layout.shard_numel(rank)) fp32. It lies in one of the flat buffers: valid until the next
  /// leaf().
  /// @throws ShapeError before every leaf of this rank is finished.  @throws CommError when the exchange
  /// fails.
  at::Tensor reduce();

  /// Flat buffers allocated so far.
  std::int64_t buffers() const noexcept { return buffers_; }

 private:
  at::Tensor take_buffer();
  /// The part of `rank`'s shard that `bucket` exchanges, as flat elements.
  std::pair<std::int64_t, std::int64_t> bucket_range(int rank, std::int64_t bucket) const noexcept;
  void pack(std::int64_t bucket);
  /// The values of all tree nodes for this rank's part of `bucket`: its own in place, the others as received.
  std::vector<at::Tensor> exchange(std::int64_t bucket);

  ShardLayout layout_;
  Collectives& collectives_;
  at::TensorOptions options_;  ///< of every buffer: fp32 on the device
  LeafRange leaves_;
  std::vector<std::int64_t> node_counts_;  ///< tree nodes that each rank is left with
  std::vector<Merge> merges_;
  std::int64_t shard_bucket_;  ///< elements of one shard exchanged at once
  at::Tensor send_;
  at::Tensor receive_;

  std::int64_t next_leaf_;
  at::Tensor leaf_;                       ///< undefined between finish_leaf() and leaf()
  std::vector<at::Tensor> partial_sums_;  ///< ordered as maximal_subtrees() once the last leaf is in
  std::vector<at::Tensor> free_;
  std::int64_t buffers_ = 0;
};

}  // namespace vrwkv::sharding
