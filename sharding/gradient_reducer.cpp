// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_reducer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "common/error.h"
#include "kernels/tree_sum/tree_sum.h"

namespace vrwkv::sharding {
namespace {

std::int64_t sum(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

}  // namespace

GradientReducer::GradientReducer(const ShardLayout& layout, Collectives& collectives,
                                 std::int64_t micro_batches, std::int64_t bucket_elements, c10::Device device)
    : layout_(layout),
      collectives_(collectives),
      options_(at::TensorOptions(at::kFloat).device(device)),
      leaves_(leaf_range(micro_batches, collectives.rank(), collectives.size())),
      next_leaf_(leaves_.begin) {
  if (layout.world_size() != collectives.size() || micro_batches < 1 || bucket_elements < 1)
    throw ShapeError("gradient reducer: layout for {} of {} ranks, {} micro-batches, buckets of {} elements.",
                     layout.world_size(), collectives.size(), micro_batches, bucket_elements);
  const int ranks = collectives.size();
  std::vector<TreeNode> nodes;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto held = maximal_subtrees(leaf_range(micro_batches, rank, ranks));
    nodes.insert(nodes.end(), held.begin(), held.end());
    node_counts_.push_back(static_cast<std::int64_t>(held.size()));
  }
  merges_ = merge_plan(micro_batches, nodes);

  // Every rank cuts the shards alike, so the largest exchange of any rank sets the limit.
  const std::int64_t most_held = *std::max_element(node_counts_.begin(), node_counts_.end());
  const std::int64_t copies = std::max(most_held * ranks, sum(node_counts_));
  shard_bucket_ = std::clamp<std::int64_t>(bucket_elements / ranks, 1, Collectives::kMostElements / copies);
  shard_bucket_ = std::min(shard_bucket_, std::max<std::int64_t>(1, layout.largest_shard()));
  const std::int64_t held = node_counts_[static_cast<std::size_t>(collectives.rank())];
  send_ = at::empty({held * (ranks - 1) * shard_bucket_}, options_);
  receive_ = at::empty({(sum(node_counts_) - held) * shard_bucket_}, options_);
}

at::Tensor GradientReducer::take_buffer() {
  if (free_.empty()) {
    ++buffers_;
    return at::empty({layout_.padded_numel()}, options_);
  }
  at::Tensor buffer = free_.back();
  free_.pop_back();
  return buffer;
}

at::Tensor& GradientReducer::leaf() {
  if (next_leaf_ == leaves_.end)
    throw ShapeError("gradient reducer: all {} micro-batches of rank {} are finished (reduce() comes next).",
                     leaves_.size(), collectives_.rank());
  if (!leaf_.defined()) leaf_ = take_buffer().zero_();
  return leaf_;
}

void GradientReducer::finish_leaf() {
  partial_sums_.push_back(leaf());
  leaf_.reset();
  const int carries = carries_after(leaves_, next_leaf_);
  if (carries > 0) {
    const auto first = partial_sums_.end() - 1 - carries;
    const std::vector<at::Tensor> values(first, partial_sums_.end());
    std::vector<Merge> merges;
    for (auto right = static_cast<std::size_t>(carries); right > 0; --right)
      merges.push_back({.left = right - 1, .right = right});
    kernels::tree_sum(values, merges, *first);
    free_.insert(free_.end(), first + 1, partial_sums_.end());
    partial_sums_.erase(first + 1, partial_sums_.end());
  }
  ++next_leaf_;
}

std::pair<std::int64_t, std::int64_t> GradientReducer::bucket_range(int rank,
                                                                    std::int64_t bucket) const noexcept {
  const std::int64_t end = layout_.shard_end(rank);
  const std::int64_t begin = std::min(layout_.shard_begin(rank) + bucket * shard_bucket_, end);
  return {begin, std::min(begin + shard_bucket_, end)};
}

void GradientReducer::pack(std::int64_t bucket) {
  std::int64_t filled = 0;
  for (int rank = 0; rank < layout_.world_size(); ++rank) {
    if (rank == collectives_.rank()) continue;
    const auto [begin, end] = bucket_range(rank, bucket);
    for (const at::Tensor& partial_sum : partial_sums_) {
      send_.slice(0, filled, filled + end - begin).copy_(partial_sum.slice(0, begin, end));
      filled += end - begin;
    }
  }
}

std::vector<at::Tensor> GradientReducer::exchange(std::int64_t bucket) {
  const int here = collectives_.rank();
  const auto [begin, end] = bucket_range(here, bucket);
  std::vector<std::int64_t> send_counts;
  std::vector<std::int64_t> receive_counts;
  for (int rank = 0; rank < layout_.world_size(); ++rank) {
    const auto [from, to] = bucket_range(rank, bucket);
    const auto held = static_cast<std::int64_t>(partial_sums_.size());
    send_counts.push_back(rank == here ? 0 : held * (to - from));
    receive_counts.push_back(rank == here ? 0 : node_counts_[static_cast<std::size_t>(rank)] * (end - begin));
  }
  if (layout_.world_size() > 1) {
    pack(bucket);
    collectives_.all_to_all(send_.slice(0, 0, sum(send_counts)), send_counts,
                            receive_.slice(0, 0, sum(receive_counts)), receive_counts, "gradient exchange");
  }
  std::vector<at::Tensor> values;
  std::int64_t taken = 0;
  for (int rank = 0; rank < layout_.world_size(); ++rank) {
    for (std::int64_t node = 0; node < node_counts_[static_cast<std::size_t>(rank)]; ++node) {
      if (rank == here) {
        values.push_back(partial_sums_[static_cast<std::size_t>(node)].slice(0, begin, end));
      } else {
        values.push_back(receive_.slice(0, taken, taken + end - begin));
        taken += end - begin;
      }
    }
  }
  return values;
}

at::Tensor GradientReducer::reduce() {
  if (next_leaf_ != leaves_.end)
    throw ShapeError("gradient reducer: micro-batch {} of {}..{} is not finished.", next_leaf_, leaves_.begin,
                     leaves_.end);
  const int here = collectives_.rank();
  const at::Tensor result = partial_sums_.empty() ? take_buffer() : partial_sums_.front();
  const std::int64_t buckets = (layout_.largest_shard() + shard_bucket_ - 1) / shard_bucket_;
  for (std::int64_t bucket = 0; bucket < buckets; ++bucket) {
    const std::vector<at::Tensor> values = exchange(bucket);
    const auto [begin, end] = bucket_range(here, bucket);
    at::Tensor place = result.slice(0, begin, end);
    kernels::tree_sum(values, merges_, place);
  }
  free_.insert(free_.end(), partial_sums_.begin(), partial_sums_.end());
  if (partial_sums_.empty()) free_.push_back(result);
  partial_sums_.clear();
  next_leaf_ = leaves_.begin;
  return result.slice(0, layout_.shard_begin(here), layout_.shard_end(here));
}

}  // namespace vrwkv::sharding
