// SPDX-License-Identifier: Apache-2.0
// What the three roles of the backward kernel share. Chunks are taken from the last to the first. The chain
// carries the gradient of the state and publishes a chunk's U, Z, D and S_0.
#pragma once

#include "kernels/wkv/chunked/store_tokens.h"
#include "kernels/wkv7/chunked/chain.h"
#include "kernels/wkv7/chunked/prepare.h"

namespace vrwkv::kernels::cuda::chunked::wkv7 {

struct BackwardArguments {
  Wkv7Inputs<Bf16> in;
  Wkv7Kept kept;  // at an interval of 16 or 32
  Wkv7OutputGradients<Bf16> of_outputs;
  Wkv7InputGradients<Bf16> of_inputs;
};

/// By blocks of 16 values, and of 16 keys.
struct Published {
  Block u[kBlocks], z[kBlocks];  // U^T, Z^T
  Block d[kBlocks][kBlocks], s0[kBlocks][kBlocks];
};

/// The first configuration is for devices with at least 135 KB for a block, the second fits in 99 KB.
template <int kStageCount, int kPublishedCount>
struct BackwardShared {
  static constexpr int kStages = kStageCount;
  static constexpr int kPublished = kPublishedCount;
  static constexpr int kThreads = (kChainWarps + kGradientWarps + kStages) * device::kWarpLanes;

  BackwardStage stages[kStages];
  Published published[kPublished];
  Block rooms[kChainWarps + kGradientWarps];
};
using LargeBackwardShared = BackwardShared<4, 2>;
using SmallBackwardShared = BackwardShared<3, 1>;
static_assert(sizeof(LargeBackwardShared) <= 163 * 1024, "what a block may have on sm_80");
static_assert(sizeof(SmallBackwardShared) <= 99 * 1024, "what a block may have on sm_86, 89 and 120");

/// The warps of the gradients have one more, of their own.
template <class Shared>
class Barriers : public BackwardBarriers<Shared::kStages, Shared::kPublished> {
 public:
  __device__ static void pair_gradients_wait() {
    device::named_barrier_sync(Barriers::kNext, kGradientWarps * device::kWarpLanes);
  }
};

}  // namespace vrwkv::kernels::cuda::chunked::wkv7
