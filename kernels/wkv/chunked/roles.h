// SPDX-License-Identifier: Apache-2.0
// The roles of a block's warps, and where they wait for each other. As many warps as there are stages
// prepare, one chunk each and into a stage of its own, ahead of the kChainWarps of the chain, who carry the
// state. Backward, kGradientWarps more make of what the chain publishes of a chunk all that sums over values.
// n counts chunks in the order in which they are taken. Nothing waits for the whole block.
#pragma once

#include "kernels/wkv/chunked/tiles.h"

namespace vrwkv::kernels::cuda::chunked {

inline constexpr int kChainWarps = kHead / kChunk;     // sixteen value rows each
inline constexpr int kGradientWarps = kHead / kChunk;  // sixteen keys each

/// The named barriers of the stages. A stage is full when its warp has prepared it, for which the chain
/// waits, and free again when kReaders warps have read it.
template <int kStages, int kReaders>
class StageBarriers {
 public:
  __device__ static void full_arrive(int n) { device::named_barrier_arrive(full(n), kFullThreads); }
  __device__ static void full_wait(int n) { device::named_barrier_sync(full(n), kFullThreads); }
  __device__ static void free_arrive(int n) { device::named_barrier_arrive(free(n), kFreeThreads); }
  __device__ static void free_wait(int n) { device::named_barrier_sync(free(n), kFreeThreads); }

  /// The work of warp `warp` of those that prepare. `Stage` says in which order chunks are taken.
  template <class Stage, class Preparation>
  __device__ static void prepare(Stage& stage, int warp, int chunks, const Preparation& preparation) {
    for (int n = warp; n < chunks; n += kStages) {
      if (n >= kStages) free_wait(warp);
      preparation.run(stage, Stage::kBackward ? chunks - 1 - n : n);
      full_arrive(warp);
    }
  }

 protected:
  static constexpr int kNext = 1 + 2 * kStages;  // the first barrier that is no stage's

 private:
  static constexpr int kFullThreads = (1 + kChainWarps) * device::kWarpLanes;
  static constexpr int kFreeThreads = (1 + kReaders) * device::kWarpLanes;
  __device__ static int full(int n) { return 1 + n % kStages; }
  __device__ static int free(int n) { return 1 + kStages + n % kStages; }
};

template <class Stage>
struct ForwardShared {
  static constexpr int kStages = 4;
  static constexpr int kThreads = (kChainWarps + kStages) * device::kWarpLanes;
  using Barriers = StageBarriers<kStages, kChainWarps>;

  Stage stages[kStages];
  Block rooms[kChainWarps];
};

/// The backward's: also those of the published sets, which the chain fills for the gradients to consume.
template <int kStages, int kSets>
class BackwardBarriers : public StageBarriers<kStages, kChainWarps + kGradientWarps> {
 public:
  __device__ static void published_arrive(int n) { device::named_barrier_arrive(published(n), kThreads); }
  __device__ static void published_wait(int n) { device::named_barrier_sync(published(n), kThreads); }
  __device__ static void consumed_arrive(int n) { device::named_barrier_arrive(consumed(n), kThreads); }
  __device__ static void consumed_wait(int n) { device::named_barrier_sync(consumed(n), kThreads); }

 protected:
  static constexpr int kPublished = StageBarriers<kStages, kChainWarps + kGradientWarps>::kNext;
  static constexpr int kNext = kPublished + 2 * kSets;

 private:
  static constexpr int kThreads = (kChainWarps + kGradientWarps) * device::kWarpLanes;
  __device__ static int published(int n) { return kPublished + n % kSets; }
  __device__ static int consumed(int n) { return kPublished + kSets + n % kSets; }
};

}  // namespace vrwkv::kernels::cuda::chunked
