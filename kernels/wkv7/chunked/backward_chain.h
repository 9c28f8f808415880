// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/wkv7/chunked/backward.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

/// A warp of the backward's chain.
template <class Shared>
class BackwardChain {
 public:
  __device__ BackwardChain(const BackwardArguments& arguments, const Task& task, Shared& shared, int warp)
      : arguments_(arguments), task_(task), shared_(shared), warp_(warp), chunks_(task.chunks()) {}

  /// Chunks are taken in groups, of one or two after each kept state. The second one's S_0 is made of it.
  __device__ void run() {
    StateRows gradient = load_rows(arguments_.of_outputs.final_state, device::block_index(), warp_, lane_);
    const int group_chunks = static_cast<int>(arguments_.kept.interval / kChunk);
    int group = (chunks_ - 1) / group_chunks;
    StateFactors state;
    if (chunks_ > 0) state = kept_state(group);
    for (int end = chunks_; end > 0; --group) {
      const int first = group * group_chunks;
#pragma unroll 1
      for (int chunk = end - 1; chunk >= first; --chunk) Bar::full_wait(number(chunk));
      const Left first_u_t = rounded(removed_values(stage(first), state, warp_, lane_));
      if (end - first > 1) {
        const StateFactors second = state_after(stage(first), state, first_u_t);
        step(first + 1, second, rounded(removed_values(stage(first + 1), second, warp_, lane_)), gradient);
      }
      StateFactors before = state;
      if (group > 0) before = kept_state(group - 1);  // on its way during the step
      step(first, state, first_u_t, gradient);
      state = before;
      end = first;
    }
    store_rows(arguments_.of_inputs.initial_state, device::block_index(), gradient, warp_, lane_);
  }

 private:
  using Bar = Barriers<Shared>;

  __device__ int number(int chunk) const { return chunks_ - 1 - chunk; }
  __device__ const BackwardStage& stage(int chunk) const {
    return shared_.stages[number(chunk) % Shared::kStages];
  }
  __device__ StateFactors kept_state(int group) const {
    return kept(arguments_.kept.states, task_.kept(group), warp_, lane_);
  }

  __device__ StateFactors state_after(const BackwardStage& stage, const StateFactors& state,
                                      const Left& u_t) const {
    StateRows rows = widened(state);
    advance(rows, stage, u_t, left_transposed(stage.v.blocks[warp_], lane_), warp_, lane_);
    return rounded(rows);
  }

  /// `gradient` is dS_C on entry and becomes dS_0.
  __device__ void step(int chunk, const StateFactors& state, const Left& u_t, StateRows& gradient) {
    const int n = number(chunk);
    const BackwardStage& stage = this->stage(chunk);
    decay(gradient, stage, warp_, lane_);
    const StateFactors d = rounded(gradient);
    const Left dy_t = left_transposed(stage.dy.blocks[warp_], lane_);
    Sums z;  // Z^T = (dY^T G + D beta^T) T
    multiply_add(z, dy_t, right(stage.g, lane_));
    add_product(z, d, stage.beta, lane_);
    multiply_add(z, rounded(z), right_transposed(stage.inverse, lane_));
    const Split z_t = split(z);
    publish(n, u_t, z_t.high, d, state);
    add_outer(gradient, dy_t, stage.rho, lane_);
    add_outer(gradient, z_t, stage.alpha, lane_);

    Sums dv;  // dV^T = dY^T E + Z^T M + D kappa^T
    multiply_add(dv, dy_t, right(stage.e, lane_));
    multiply_add(dv, z_t.high, right(stage.m, lane_));
    add_product(dv, d, stage.kappa, lane_);
    if (n + Shared::kStages < chunks_) Bar::free_arrive(n);
    store_transposed(arguments_.of_inputs.v, TokenRows(task_, chunk, warp_, lane_), rounded(dv),
                     shared_.rooms[warp_], lane_);
  }

  __device__ void publish(int n, const Left& u_t, const Left& z_t, const StateFactors& d,
                          const StateFactors& state) {
    if (n >= Shared::kPublished) Bar::consumed_wait(n);
    Published& published = shared_.published[n % Shared::kPublished];
    store(published.u[warp_], u_t, lane_);
    store(published.z[warp_], z_t, lane_);
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      store(published.d[warp_][i], d.block[i], lane_);
      store(published.s0[warp_][i], state.block[i], lane_);
    }
    Bar::published_arrive(n);
  }

  const BackwardArguments& arguments_;
  const Task& task_;
  Shared& shared_;
  const int warp_;
  const int chunks_;
  const Lane lane_;
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
