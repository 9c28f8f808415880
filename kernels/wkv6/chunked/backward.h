// SPDX-License-Identifier: Apache-2.0
// What the three roles of the backward kernel share. Chunks are taken from the last to the first. The chain
// carries the gradient of the state and publishes a chunk's D and H_0.
#pragma once

#include "kernels/wkv/chunked/store_tokens.h"
#include "kernels/wkv6/chunked/chain.h"
#include "kernels/wkv6/chunked/prepare.h"

namespace vrwkv::kernels::cuda::chunked::wkv6 {

struct BackwardArguments {
  Wkv6Inputs<Bf16> in;
  Wkv6OutputGradients<Bf16> of_outputs;
  Wkv6InputGradients<Bf16> of_inputs;
};

/// By blocks of 16 values, and of 16 keys.
struct Published {
  Block d[kBlocks][kBlocks], h0[kBlocks][kBlocks];
};

struct BackwardShared {
  static constexpr int kStages = 3;
  static constexpr int kPublished = 2;
  static constexpr int kThreads = (kChainWarps + kGradientWarps + kStages) * device::kWarpLanes;

  BackwardStage stages[kStages];
  Published published[kPublished];
  Block rooms[kChainWarps + kGradientWarps];
};
static_assert(sizeof(BackwardShared) <= 99 * 1024, "what a block may have on sm_86, 89 and 120");

using Barriers = BackwardBarriers<BackwardShared::kStages, BackwardShared::kPublished>;

}  // namespace vrwkv::kernels::cuda::chunked::wkv6
