// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/bf16.h"
#include "kernels/wkv/chunked/task.h"

namespace vrwkv::kernels::cuda::chunked {

inline constexpr float kLog2E = 1.44269504F;

/// Brings a chunk into shared memory, by one warp: each(copy) calls copy(tile, tensor) for all that is
/// wanted. Tokens beyond the task's are zero. Returns when all lanes have all of it.
template <class Each>
__device__ __forceinline__ void fetch_chunk(const Task& task, int chunk, const Lane& lane, const Each& each) {
  const int tokens = task.chunk_tokens(chunk);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int token = i % 2 * 8 + lane.index % 8, channel = i / 2 * 32 + lane.index / 8 * 8;
    const std::int64_t from = task.row(chunk, token) + channel;
    each([&](auto& tile, const Bf16* tensor) {
      device::copy_async_16(&tile.pair(token, channel), tensor + from, token < tokens);
    });
  }
  device::copy_async_commit();
  device::copy_async_wait<0>();
  device::warp_barrier();
}

}  // namespace vrwkv::kernels::cuda::chunked
