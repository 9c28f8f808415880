// SPDX-License-Identifier: Apache-2.0
// What the three roles of the backward kernel share. Chunks are taken from the last to the first; n counts
// them in this order. The warps of the chain, sixteen value rows each, carry the gradient of the state and
// publish a chunk's U, Z, D and S_0; the warps of the gradients, sixteen keys each, make of them all that
// sums over values; and as many warps as there are stages prepare.
#pragma once

#include "kernels/wkv7/chunked/prepare.h"
#include "kernels/wkv7/chunked/state_rows.h"

namespace vrwkv::kernels::cuda::chunked {

struct BackwardArguments {
  Wkv7ChunkedInputs in;
  Wkv7ChunkedKept kept;  // at an interval of 16 or 32
  Wkv7ChunkedOutputGradients of_outputs;
  Wkv7ChunkedInputGradients of_inputs;
};

inline constexpr int kGradientWarps = kHead / kChunk;

/// By blocks of 16 values, and of 16 keys.
struct Published {
  Block u[kBlocks], z[kBlocks];  // U^T, Z^T
  Block d[kBlocks][kBlocks], s0[kBlocks][kBlocks];
};

/// The first configuration is for devices with at least 142 KB for a block, the second fits in 99 KB.
template <int kStageCount, int kPublishedCount>
struct BackwardShared {
  static constexpr int kStages = kStageCount;
  static constexpr int kPublished = kPublishedCount;
  static constexpr int kThreads = (kChainWarps + kGradientWarps + kStages) * device::kWarpLanes;

  BackwardStage stages[kStages];
  Published published[kPublished];
  Block rooms[kChainWarps];
};
using LargeBackwardShared = BackwardShared<4, 2>;
using SmallBackwardShared = BackwardShared<3, 1>;
static_assert(sizeof(LargeBackwardShared) <= 163 * 1024, "what a block may have on sm_80");
static_assert(sizeof(SmallBackwardShared) <= 99 * 1024, "what a block may have on sm_86, 89 and 120");

/// The named barriers, and who meets there: `full` and `free` of a stage, `published` and `consumed` of a
/// published set, and one that the warps of the gradients share.
template <class Shared>
class Barriers {
 public:
  __device__ static void stage_full_arrive(int n) { device::named_barrier_arrive(full(n), kFullThreads); }
  __device__ static void stage_full_wait(int n) { device::named_barrier_sync(full(n), kFullThreads); }
  __device__ static void stage_free_arrive(int n) { device::named_barrier_arrive(free(n), kFreeThreads); }
  __device__ static void stage_free_wait(int n) { device::named_barrier_sync(free(n), kFreeThreads); }
  __device__ static void published_arrive(int n) {
    device::named_barrier_arrive(published(n), kPublishedThreads);
  }
  __device__ static void published_wait(int n) {
    device::named_barrier_sync(published(n), kPublishedThreads);
  }
  __device__ static void consumed_arrive(int n) {
    device::named_barrier_arrive(consumed(n), kPublishedThreads);
  }
  __device__ static void consumed_wait(int n) { device::named_barrier_sync(consumed(n), kPublishedThreads); }
  __device__ static void pair_gradients_wait() {
    device::named_barrier_sync(kPairGradients, kGradientWarps * device::kWarpLanes);
  }

 private:
  static constexpr int kFullThreads = (1 + kChainWarps) * device::kWarpLanes;
  static constexpr int kFreeThreads = (1 + kChainWarps + kGradientWarps) * device::kWarpLanes;
  static constexpr int kPublishedThreads = (kChainWarps + kGradientWarps) * device::kWarpLanes;
  static constexpr int kPairGradients = 1 + 2 * Shared::kStages + 2 * Shared::kPublished;
  __device__ static int full(int n) { return 1 + n % Shared::kStages; }
  __device__ static int free(int n) { return 1 + Shared::kStages + n % Shared::kStages; }
  __device__ static int published(int n) { return 1 + 2 * Shared::kStages + n % Shared::kPublished; }
  __device__ static int consumed(int n) {
    return 1 + 2 * Shared::kStages + Shared::kPublished + n % Shared::kPublished;
  }
};

}  // namespace vrwkv::kernels::cuda::chunked
