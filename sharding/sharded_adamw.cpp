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
  exp_avg_ = at::zeros({end - begin}, parameters.flat().options());
  exp_avg_sq_ = at::zeros({end - begin}, parameters.flat().options());

  const auto& entries = parameters.entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::int64_t next = i + 1 < entries.size() ? entries[i + 1].offset : layout.padded_numel();
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
    kernels::AdamwStep of_run = step;
    if (!run.decays) of_run.weight_decay = 0;
    at::Tensor master = master_.slice(0, run.begin, run.end);
    at::Tensor exp_avg = exp_avg_.slice(0, run.begin, run.end);
    at::Tensor exp_avg_sq = exp_avg_sq_.slice(0, run.begin, run.end);
    kernels::adamw_update(master, exp_avg, exp_avg_sq, gradient.slice(0, run.begin, run.end), gradient_scale,
                          of_run);
  }
  gather_parameters();
}

void ShardedAdamw::gather_parameters() {
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < layout_.world_size(); ++rank) counts.push_back(layout_.shard_numel(rank));
  collectives_.all_gather_in_place(parameters_.flat(), counts, "gathering of parameters");
}

}  // namespace vrwkv::sharding
