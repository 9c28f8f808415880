// SPDX-License-Identifier: Apache-2.0
// A block for one head of one sequence.
#include "kernels/wkv/chunked/store_tokens.h"
#include "kernels/wkv6/chunked/chain.h"
#include "kernels/wkv6/chunked/prepare.h"

namespace vrwkv::kernels::cuda {
namespace chunked::wkv6 {

using Shared = ForwardShared<ForwardStage>;

class ForwardKernel {
 public:
  __device__ ForwardKernel(const Wkv6Inputs<Bf16>& in, const Wkv6Outputs<Bf16>& out, const Task& task)
      : in_(in),
        out_(out),
        task_(task),
        warp_(device::thread_index() / device::kWarpLanes),
        shared_(*static_cast<Shared*>(device::shared_memory())) {}

  __device__ void run() {
    if (warp_ < kChainWarps) {
      chain();
    } else {
      const int stage = warp_ - kChainWarps, head = static_cast<int>(device::block_index() % in_.heads);
      const Preparation<ForwardStage> preparation(in_, /*dy=*/nullptr, task_, head);
      Barriers::prepare(shared_.stages[stage], stage, task_.chunks(), preparation);
    }
  }

 private:
  using Barriers = Shared::Barriers;

  __device__ void chain() {
    constexpr int kKeptChunks = kWkv6ChunkedInterval / kChunk;
    StateRows state = load_rows(in_.initial_state, device::block_index(), warp_, lane_);
    const int chunks = task_.chunks();
    for (int chunk = 0; chunk < chunks; ++chunk) {
      if (out_.kept_states != nullptr && chunk % kKeptChunks == 0) {
        keep(out_.kept_states, task_.kept(chunk / kKeptChunks), rounded(state), warp_, lane_);
      }
      Barriers::full_wait(chunk);
      const ForwardStage& stage = shared_.stages[chunk % Shared::kStages];
      scale(state, stage.before_middle, warp_, lane_);
      const StateFactors middle = rounded(state);
      const Left v_t = left_transposed(stage.v.blocks[warp_], lane_);
      advance(state, stage, v_t, warp_, lane_);
      Sums y;  // Y^T = V^T E^T + H_0 rho^T
      multiply_add(y, v_t, right_transposed(stage.e, lane_));
      add_product(y, middle, stage.rho, lane_);
      if (chunk + Shared::kStages < chunks) Barriers::free_arrive(chunk);
      store_transposed(out_.y, TokenRows(task_, chunk, warp_, lane_), rounded(y), shared_.rooms[warp_],
                       lane_);
    }
    store_rows(out_.final_state, device::block_index(), state, warp_, lane_);
  }

  const Wkv6Inputs<Bf16>& in_;
  const Wkv6Outputs<Bf16>& out_;
  const Task& task_;
  const int warp_;
  const Lane lane_;
  Shared& shared_;
};

__global__ void __launch_bounds__(Shared::kThreads, 2)
    forward_kernel(const Wkv6Inputs<Bf16> in, const Wkv6Outputs<Bf16> out) {
  const Task task = sequence_task(in, kWkv6ChunkedInterval);
  ForwardKernel(in, out, task).run();
}

}  // namespace chunked::wkv6

void wkv6_chunked_forward(const Wkv6Inputs<Bf16>& inputs, const Wkv6Outputs<Bf16>& outputs, void* stream) {
  using chunked::wkv6::Shared;
  device::launch(chunked::wkv6::forward_kernel, inputs.batch * inputs.sequences * inputs.heads,
                 Shared::kThreads, sizeof(Shared), stream, inputs, outputs);
}

}  // namespace vrwkv::kernels::cuda
