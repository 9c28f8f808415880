// SPDX-License-Identifier: Apache-2.0
// The forward kernel, a block a task. kStages warps prepare, one chunk each and into a stage of its own,
// ahead of the kChainWarps of the chain, who carry the state. Nothing waits for the whole block.
#pragma once

#include "kernels/wkv7/chunked/prepare.h"
#include "kernels/wkv7/chunked/state_rows.h"
#include "kernels/wkv7/chunked/store_tokens.h"

namespace vrwkv::kernels::cuda::chunked {

struct ForwardArguments {
  Wkv7ChunkedInputs in;
  Wkv7ChunkedOutputs out;  // either may be null
  Wkv7ChunkedKept kept;
  // Where not null, a block a segment: from one of these states to the next.
  Wkv7ChunkedKept segments;
};

struct ForwardShared {
  static constexpr int kStages = 4;
  static constexpr int kThreads = (kChainWarps + kStages) * device::kWarpLanes;
  ForwardStage stages[kStages];
  Block rooms[kChainWarps];
};

void launch_forward(const ForwardArguments& arguments, std::int64_t blocks, void* stream);

class ForwardKernel {
 public:
  __device__ ForwardKernel(const ForwardArguments& arguments, const Task& task)
      : arguments_(arguments),
        in_(arguments.in),
        task_(task),
        warp_(device::thread_index() / device::kWarpLanes),
        shared_(*static_cast<ForwardShared*>(device::shared_memory())) {}

  template <DecayInput kDecay>
  __device__ void run() {
    if (warp_ < kChainWarps) {
      chain();
    } else {
      prepare<kDecay>(warp_ - kChainWarps);
    }
  }

 private:
  // A stage is full when its warp has prepared it, and free again when the chain has read it.
  static constexpr int kStages = ForwardShared::kStages;
  static constexpr int kFull = 1, kFree = kFull + kStages;                 // barriers of the first stage
  static constexpr int kThreads = (kChainWarps + 1) * device::kWarpLanes;  // at both

  template <DecayInput kDecay>
  __device__ void prepare(int stage) {
    const Preparation<ForwardStage, kDecay> preparation(in_, nullptr, task_);
    for (int chunk = stage; chunk < task_.chunks(); chunk += kStages) {
      if (chunk >= kStages) device::named_barrier_sync(kFree + stage, kThreads);
      preparation.run(shared_.stages[stage], chunk);
      device::named_barrier_arrive(kFull + stage, kThreads);
    }
  }

  __device__ StateRows first_state() {
    if (arguments_.segments.states != nullptr) {
      const StateFactors factors = kept(arguments_.segments.states, device::block_index(), warp_, lane_);
      StateRows rows;
#pragma unroll
      for (int i = 0; i < kBlocks; ++i) rows.block[i] = widened(factors.block[i]);
      return rows;
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
      const int number = chunk % kStages;
      device::named_barrier_sync(kFull + number, kThreads);
      const ForwardStage& stage = shared_.stages[number];
      const Left v_t = left_transposed(stage.v.blocks[warp_], lane_);
      const Left u_t = removed_values(stage, factors, warp_, lane_);
      advance(state, stage, u_t, v_t, warp_, lane_);
      Sums y;  // Y^T = V^T E^T + S_0 rho^T + U^T G^T
      multiply_add(y, v_t, right_transposed(stage.e, lane_));
      add_product(y, factors, stage.rho, lane_);
      multiply_add(y, u_t, right_transposed(stage.g, lane_));
      if (chunk + kStages < chunks) device::named_barrier_arrive(kFree + number, kThreads);
      if (arguments_.out.y != nullptr) {
        store_transposed(arguments_.out.y, TokenRows(task_, chunk, warp_, lane_), rounded(y),
                         shared_.rooms[warp_], lane_);
      }
    }
    store_rows(arguments_.out.final_state, device::block_index(), state, warp_, lane_);
  }

  const ForwardArguments& arguments_;
  const Wkv7ChunkedInputs& in_;
  const Task& task_;
  const int warp_;
  const Lane lane_;
  ForwardShared& shared_;
};

}  // namespace vrwkv::kernels::cuda::chunked
