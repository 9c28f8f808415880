// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "sharding/collectives.h"
#include "sharding/flat_parameters.h"
#include "sharding/shard_layout.h"

namespace vrwkv::sharding {

/// AdamW of which every rank holds and updates its shard only (ZeRO-1). The master weights are the shard's
/// range of the flat parameters. Parameters that are computed with in bf16 are rounded in the same pass and
/// gathered as such, half the bytes; they follow from the masters alone, so nobody has to store them.
class ShardedAdamw {
 public:
  /// Moments start at zero. All arguments but the layout must outlive this object.
  /// @throws ShapeError when the layout is not one of these parameters over these ranks.
  ShardedAdamw(FlatParameters& parameters, const ShardLayout& layout, Collectives& collectives);

  /// Collective. One update of the whole model: this rank's shard, then gather_parameters().
  /// @param gradient        (layout.shard_numel(rank)) fp32, from GradientReducer::reduce().
  /// @param gradient_scale  multiplies the gradient first (clipping).
  /// @param step            its weight decay applies to parameters that decay (FlatParameter::decays) only.
  void step(const at::Tensor& gradient, double gradient_scale, const kernels::AdamwStep& step);

  /// Collective. Makes every rank's parameters whole from the shards' master weights.
  void gather_parameters();

  const ShardLayout& layout() const noexcept { return layout_; }
  int rank() const noexcept { return collectives_.rank(); }

  /// (layout.shard_numel(rank)) fp32 each; this rank's range of the flat order. Whoever writes to `master`
  /// calls gather_parameters() after.
  at::Tensor& master() noexcept { return master_; }
  at::Tensor& exp_avg() noexcept { return exp_avg_; }
  at::Tensor& exp_avg_sq() noexcept { return exp_avg_sq_; }
  const at::Tensor& master() const noexcept { return master_; }
  const at::Tensor& exp_avg() const noexcept { return exp_avg_; }
  const at::Tensor& exp_avg_sq() const noexcept { return exp_avg_sq_; }

 private:
  /// A run of this shard whose parameters all decay or all do not; padding belongs to the run before it.
  struct Run {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    bool decays = false;
  };

  /// Elements [begin, end) of the flat order.
  struct Range {
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };

  /// Sends this rank's parameters to the others and receives theirs.
  void exchange_parameters();
  /// The same of those that are fp32 beside others in bf16.
  void exchange_fp32_ranges();
  Range part_of_rank(const Range& range, int rank) const;

  FlatParameters& parameters_;
  ShardLayout layout_;
  Collectives& collectives_;
  at::Tensor master_;
  at::Tensor exp_avg_;
  at::Tensor exp_avg_sq_;
  std::vector<Run> runs_;
  at::Tensor rounded_;  ///< the shard's range of the rounded parameters, undefined where there are none
  std::vector<Range> fp32_ranges_;  ///< what is not computed with in bf16, where anything is
};

}  // namespace vrwkv::sharding
