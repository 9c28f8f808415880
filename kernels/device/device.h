// SPDX-License-Identifier: Apache-2.0
// The words our CUDA kernels are written in. They have two bodies, so that the very same .cu file runs on a
// GPU and, slowly but under every schedule we like, in a unit test on the CPU. Of CUDA, a .cu file uses
// these words, the keywords __global__, __device__, __forceinline__, __launch_bounds__ and __grid_constant__,
// and the functions of <cmath>; nothing else. bf16 in memory is the Bf16 of kernels/bf16.h.
//
// A kernel and its threads
//   launch(kernel, blocks, threads, shared_bytes, stream, arguments...)     in one dimension
//   shared_memory_limit()                for the host: bytes that a block may have on the current device
//   thread_index(), block_index(), block_count()
//   shared_memory()                      the block's, 128-byte aligned; there is no static one
// Waiting
//   block_barrier()                      waits for all threads of the block
//   named_barrier_sync(id, threads)      waits until `threads` arrived at barrier 1..15
//   named_barrier_arrive(id, threads)    arrives and does not wait
//   warp_barrier()                       waits for all 32 lanes of the warp
// Between the lanes of a warp; all 32 take part
//   shuffle(value, lane)                 the 4-byte value of that lane
//   shuffle_xor(value, mask)             that of lane (mine ^ mask)
//   ballot(condition)                    bit l says what lane l found
//   warp_sum(x)                          of floats, in an order that is always the same; every lane gets it
// Sixteen bytes that move as one, on a 16-byte boundary
//   Float4, Word4                        four floats; four std::uint32_t
//   load_16<Float4>(from)                reads any 16 bytes as a Float4, a Word4, or what else has 16
//   store_16(to, value)                  writes them
// Copies from global to shared memory that go on while the thread does. They land at the wait at the latest,
// and only the thread that waited may count on them: the others need a barrier after it.
//   copy_async_16(shared, global)        16 bytes, both on a 16-byte boundary
//   copy_async_16(shared, global, valid) reads nothing and writes zeros where not valid
//   copy_async_commit()                  closes a group of copies
//   copy_async_wait<N>()                 until at most the N youngest groups of this thread are under way
// clang-format off
// Matrix products in bf16, by a warp together (lane = 4 g + c; a register holds two values, low half first)
//   pack_bf16(low, high)                 two floats rounded into a register
//   unpack_bf16(packed, low, high)       and back
//   load_matrices<kTransposed>(r, row)   four 8x8 matrices from shared memory: lane 8 m + i points at the 16
//                                        bytes of row i of matrix m; r[m] gets its elements (g, 2c..2c+1),
//                                        transposed (2c..2c+1, g)
//   mma_16x8x16(d, a, b0, b1)            d += A B with fp32 sums.
//                                        A (16x16): a[0] (g, 2c..), a[1] (g+8, 2c..), a[2] (g, 2c+8..),
//                                                   a[3] (g+8, 2c+8..)
//                                        B (16x8): b0 (2c.., g), b1 (2c+8.., g)
//                                        D (16x8): d[0], d[1] (g, 2c..); d[2], d[3] (g+8, 2c..)
// clang-format on
// Fast arithmetic: relative error below 2^-21 (exp_fast: (2 + |x|) 2^-22); below 2^-126 all is zero
//   exp2_fast(x), exp_fast(x), reciprocal_fast(x), rsqrt_fast(x)
#pragma once

#include <cstddef>
#include <cstdint>

namespace vrwkv::kernels::device {

inline constexpr int kWarpLanes = 32;

struct alignas(16) Float4 {
  float at[4];
};

struct alignas(16) Word4 {
  std::uint32_t at[4];
};

}  // namespace vrwkv::kernels::device

#if defined(__CUDACC__)
#include "kernels/device/device_cuda.h"
#else
#include "kernels/device/device_host.h"
#endif
