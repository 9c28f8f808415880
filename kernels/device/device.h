// SPDX-License-Identifier: Apache-2.0
// The words our CUDA kernels are written in. They have two bodies, so that the very same .cu file runs on a
// GPU and, slowly but under every schedule we like, in a unit test on the CPU. A .cu file uses, of CUDA,
// these words, the keywords
// (__global__, __device__, __forceinline__, __launch_bounds__) and the functions of <cmath>; nothing else.
//
//   launch(kernel, blocks, threads, shared_bytes, stream, arguments...)   blocks and threads are
//   one-dimensional thread_index(), block_index() shared_memory()                       the block's dynamic
//   shared memory, 128-byte aligned; there is no static one block_barrier()                       all threads
//   of the block named_barrier_sync(id, threads)       id 1..15; `threads`, a multiple of 32, arrive in all;
//   waits for them named_barrier_arrive(id, threads)     counts as one of them, does not wait warp_barrier()
//   all 32 lanes of the warp shuffle_xor(value, mask), shuffle(value, lane)    a 4-byte value of another
//   lane; all 32 lanes take part Float4                                four floats that move as one
#pragma once

#if defined(__CUDACC__)
#include "kernels/device/device_cuda.h"
#else
#include "kernels/device/device_host.h"
#endif

namespace vrwkv::kernels::device {

inline constexpr int kWarpLanes = 32;

struct alignas(16) Float4 {
  float at[4];
};

}  // namespace vrwkv::kernels::device
