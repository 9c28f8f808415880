// SPDX-License-Identifier: Apache-2.0
// The words our CUDA kernels are written in. They have two bodies, so that the very same .cu file runs on a
// GPU and, slowly but under every schedule we like, in a unit test on the CPU. Of CUDA, a .cu file uses
// these words, the keywords __global__, __device__, __forceinline__ and __launch_bounds__, and the functions
// of <cmath>; nothing else.
//
//   launch(kernel, blocks, threads, shared_bytes, stream, arguments...)     in one dimension
//   thread_index(), block_index()
//   shared_memory()                      the block's, 128-byte aligned; there is no static one
//   block_barrier()                      waits for all threads of the block
//   named_barrier_sync(id, threads)      waits until `threads` arrived at barrier 1..15
//   named_barrier_arrive(id, threads)    arrives and does not wait
//   warp_barrier()                       waits for all 32 lanes of the warp
//   shuffle_xor(value, mask)             the 4-byte value of lane (mine ^ mask); all 32 lanes take part
//   shuffle(value, lane)                 that of any lane
//   Float4                               four floats that move as one
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
