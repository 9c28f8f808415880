// SPDX-License-Identifier: Apache-2.0
#include "sharding/sharded_adamw.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "common/error.h"

namespace vrwkv::sharding {

ShardedAdamw::ShardedAdamw(FlatParameters& parameters, const ShardLayout& layout, Collectives& collectives)
    : parameters_(parameters), layout_(layout), collectives_(collectives) {
  if (layout != ShardLayout(parameters.numel(), collectives.size()))
    throw ShapeError("AdamW: a layout of {} elements over {} ranks for {} elements over {} ranks.",
                     layout.numel(), layout.world_size(), parameters.numel(), collectives.size());
  const std::int64_t begin = layout.shard_begin(rank());
  const std::int64_t end = layout.shard_end(rank());
  master_ = parameters.flat().slice(0, begin, end);
  if (parameters.rounded().defined()) rounded_ = parameters.rounded().slice(0, begin, end);
  exp_avg_ = at::zeros({end - begin}, parameters.flat().options());
  exp_avg_sq_ = at::zeros({end - begin}, parameters.flat().options());

  const auto& entries = parameters.entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::int64_t next = i + 1 < entries.size() ? entries[i + 1].offset : layout.padded_numel();
    if (rounded_.defined() && !entries[i].in_bf16)
      fp32_ranges_.push_back({entries[i].offset, entries[i].offset + entries[i].numel});
    const Run run{.begin = std::max(entries[i].offset, begin) - begin,
                  .end = std::min(next, end) - begin,
                  .decays = entries[i].decays};
    if (run.begin >= run.end) continue;
    if (!runs_.empty() && runs_.back().decays == run.decays) {
      runs_.back().end = run.end;
    } else {
      runs_.push_back(run);
    }
  }
}

void ShardedAdamw::step(const at::Tensor& gradient, double gradient_scale, const kernels::AdamwStep& step) {
  if (gradient.numel() != master_.numel())
    throw ShapeError("AdamW: a gradient of {} elements for a shard of {}.", gradient.numel(),
                     master_.numel());
  for (const Run& run : runs_) {
    const auto part = [&](const at::Tensor& shard) {
      return shard.defined() ? shard.slice(0, run.begin, run.end) : shard;
    };
    kernels::AdamwStep of_run = step;
    if (!run.decays) of_run.weight_decay = 0;
    at::Tensor master = part(master_), exp_avg = part(exp_avg_), exp_avg_sq = part(exp_avg_sq_);
    kernels::adamw_update(master, exp_avg, exp_avg_sq, part(gradient), gradient_scale, of_run,
                          {.to = part(rounded_)});
  }
  exchange_parameters();
}

void ShardedAdamw::gather_parameters() {
  if (rounded_.defined()) rounded_.copy_(master_);
  exchange_parameters();
}

void ShardedAdamw::exchange_parameters() {
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < layout_.world_size(); ++rank) counts.push_back(layout_.shard_numel(rank));
  if (!rounded_.defined()) {
    collectives_.all_gather_in_place(parameters_.flat(), counts, "gathering of parameters");
    return;
  }
  // Two bf16 travel as one fp32: shards have an even number of elements, and a gather only copies bits.
  for (std::int64_t& count : counts) count /= 2;
  collectives_.all_gather_in_place(parameters_.rounded().view(at::kFloat), counts, "gathering of parameters");
  exchange_fp32_ranges();
}

ShardedAdamw::Range ShardedAdamw::part_of_rank(const Range& range, int rank) const {
  const std::int64_t begin = std::max(range.begin, layout_.shard_begin(rank));
  return {begin, std::max(begin, std::min(range.end, layout_.shard_end(rank)))};
}

void ShardedAdamw::exchange_fp32_ranges() {
  if (fp32_ranges_.empty()) return;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(layout_.world_size()));
  std::vector<at::Tensor> here, there;  // this rank's parts and the others', each with its place in `packed`
  std::vector<at::Tensor> packed_here, packed_there;
  std::int64_t numel = 0;
  for (const Range& range : fp32_ranges_) numel += range.end - range.begin;
  const at::Tensor packed = at::empty({numel}, parameters_.flat().options());
  std::int64_t place = 0;
  for (int of_rank = 0; of_rank < layout_.world_size(); ++of_rank) {
    for (const Range& range : fp32_ranges_) {
      const Range part = part_of_rank(range, of_rank);
      const std::int64_t count = part.end - part.begin;
      if (count == 0) continue;
      (of_rank == rank() ? here : there).push_back(parameters_.flat().slice(0, part.begin, part.end));
      (of_rank == rank() ? packed_here : packed_there).push_back(packed.slice(0, place, place + count));
      counts[static_cast<std::size_t>(of_rank)] += count;
      place += count;
    }
  }
  if (!here.empty()) at::_foreach_copy_(packed_here, here);
  collectives_.all_gather_in_place(packed, counts, "gathering of fp32 parameters");
  if (!there.empty()) at::_foreach_copy_(there, packed_there);
}

}  // namespace vrwkv::sharding
