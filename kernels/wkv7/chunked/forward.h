// SPDX-License-Identifier: Apache-2.0
// The forward kernel, a block a task.
#pragma once

#include "kernels/wkv/chunked/store_tokens.h"
#include "kernels/wkv7/chunked/chain.h"
#include "kernels/wkv7/chunked/prepare.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

struct ForwardArguments {
  Wkv7Inputs<Bf16> in;
  Wkv7Outputs<Bf16> out;  // either may be null
  Wkv7Kept kept;
  // Where not null, a block a segment: from one of these states to the next.
  Wkv7Kept segments;
};

void launch_forward(const ForwardArguments& arguments, std::int64_t blocks, void* stream);

class ForwardKernel {
 public:
  using Shared = ForwardShared<ForwardStage>;

  __device__ ForwardKernel(const ForwardArguments& arguments, const Task& task)
      : arguments_(arguments),
        in_(arguments.in),
        task_(task),
        warp_(device::thread_index() / device::kWarpLanes),
        shared_(*static_cast<Shared*>(device::shared_memory())) {}

  template <DecayInput kDecay>
  __device__ void run() {
    if (warp_ < kChainWarps) {
      chain();
    } else {
      const int stage = warp_ - kChainWarps;
      const Preparation<ForwardStage, kDecay> preparation(in_, /*dy=*/nullptr, task_);
      Barriers::prepare(shared_.stages[stage], stage, task_.chunks(), preparation);
    }
  }

 private:
  using Barriers = Shared::Barriers;

  __device__ StateRows first_state() {
    if (arguments_.segments.states != nullptr) {
      return widened(kept(arguments_.segments.states, device::block_index(), warp_, lane_));
    }
    return load_rows(in_.initial_state, device::block_index(), warp_, lane_);
  }

  __device__ void chain() {
    StateRows state = first_state();
    const int chunks = task_.chunks();
    const int kept_chunks = static_cast<int>(arguments_.kept.interval / kChunk);  // a power of two
    int kept_states = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const StateFactors factors = rounded(state);
      if (arguments_.kept.states != nullptr && (chunk & (kept_chunks - 1)) == 0) {
        keep(arguments_.kept.states, task_.kept(kept_states++), factors, warp_, lane_);
      }
      Barriers::full_wait(chunk);
      const ForwardStage& stage = shared_.stages[chunk % Shared::kStages];
      const Left v_t = left_transposed(stage.v.blocks[warp_], lane_);
      const Split u_t = split(removed_values(stage, factors, warp_, lane_));
      advance(state, stage, u_t, v_t, warp_, lane_);
      Sums y;  // Y^T = V^T E^T + S_0 rho^T + U^T G^T
      multiply_add(y, v_t, right_transposed(stage.e, lane_));
      add_product(y, factors, stage.rho, lane_);
      multiply_add(y, u_t.high, right_transposed(stage.g, lane_));
      if (chunk + Shared::kStages < chunks) Barriers::free_arrive(chunk);
      if (arguments_.out.y != nullptr) {
        store_transposed(arguments_.out.y, TokenRows(task_, chunk, warp_, lane_), rounded(y),
                         shared_.rooms[warp_], lane_);
      }
    }
    store_rows(arguments_.out.final_state, device::block_index(), state, warp_, lane_);
  }

  const ForwardArguments& arguments_;
  const Wkv7Inputs<Bf16>& in_;
  const Task& task_;
  const int warp_;
  const Lane lane_;
  Shared& shared_;
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
