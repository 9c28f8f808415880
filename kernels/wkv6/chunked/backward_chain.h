// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv6/chunked/backward.h"

namespace vrwkv::kernels::cuda::chunked::wkv6 {

/// A warp of the backward's chain.
class BackwardChain {
 public:
  __device__ BackwardChain(const BackwardArguments& arguments, const Task& task, BackwardShared& shared,
                           int warp)
      : arguments_(arguments), task_(task), shared_(shared), warp_(warp), chunks_(task.chunks()) {}

  /// Chunks are taken two by two, after each kept state. The second one's H_0 is made of it.
  __device__ void run() {
    static_assert(kWkv6ChunkedInterval == 2 * kChunk, "two chunks after each kept state");
    StateRows gradient = load_rows(arguments_.of_outputs.final_state, device::block_index(), warp_, lane_);
    int group = (chunks_ - 1) / 2;
    StateFactors start = kept_state(group);
    for (int end = chunks_; end > 0; --group) {
      const int first = 2 * group;
      for (int chunk = end - 1; chunk >= first; --chunk) Barriers::full_wait(number(chunk));
      StateRows rows = widened(start);
      scale(rows, stage(first).before_middle, warp_, lane_);
      const StateFactors first_middle = rounded(rows);
      if (end - first > 1) {
        advance(rows, stage(first), left_transposed(stage(first).v.blocks[warp_], lane_), warp_, lane_);
        scale(rows, stage(first + 1).before_middle, warp_, lane_);
        step(first + 1, rounded(rows), gradient);
      }
      if (group > 0) start = kept_state(group - 1);  // on its way during the step
      step(first, first_middle, gradient);
      end = first;
    }
    store_rows(arguments_.of_inputs.initial_state, device::block_index(), gradient, warp_, lane_);
  }

 private:
  __device__ int number(int chunk) const { return chunks_ - 1 - chunk; }
  __device__ const BackwardStage& stage(int chunk) const {
    return shared_.stages[number(chunk) % BackwardShared::kStages];
  }
  __device__ StateFactors kept_state(int group) const {
    return kept(arguments_.of_outputs.kept_states, task_.kept(group), warp_, lane_);
  }

  /// `gradient` is dS_C on entry and becomes dS_0.
  __device__ void step(int chunk, const StateFactors& middle, StateRows& gradient) {
    const int n = number(chunk);
    const BackwardStage& stage = this->stage(chunk);
    scale(gradient, stage.after_middle, warp_, lane_);
    const StateFactors d = rounded(gradient);
    publish(n, d, middle);
    const Left dy_t = left_transposed(stage.dy.blocks[warp_], lane_);
    add_outer(gradient, dy_t, stage.rho, lane_);
    scale(gradient, stage.before_middle, warp_, lane_);

    Sums dv;  // dV^T = dY^T E + D kappa^T
    multiply_add(dv, dy_t, right(stage.e, lane_));
    add_product(dv, d, stage.kappa, lane_);
    if (n + BackwardShared::kStages < chunks_) Barriers::free_arrive(n);
    store_transposed(arguments_.of_inputs.v, TokenRows(task_, chunk, warp_, lane_), rounded(dv),
                     shared_.rooms[warp_], lane_);
  }

  __device__ void publish(int n, const StateFactors& d, const StateFactors& middle) {
    if (n >= BackwardShared::kPublished) Barriers::consumed_wait(n);
    Published& published = shared_.published[n % BackwardShared::kPublished];
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      store(published.d[warp_][i], d.block[i], lane_);
      store(published.h0[warp_][i], middle.block[i], lane_);
    }
    Barriers::published_arrive(n);
  }

  const BackwardArguments& arguments_;
  const Task& task_;
  BackwardShared& shared_;
  const int warp_;
  const int chunks_;
  const Lane lane_;
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv6
