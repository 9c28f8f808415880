// SPDX-License-Identifier: Apache-2.0
// The words of device.h on the CPU: see host_fibers.h for how the threads of a block run and what is found
// out about them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/device/host_fibers.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace vrwkv::kernels::device {

/// Runs at once, one block after the other; there are no streams.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), std::int64_t blocks, int threads, std::size_t shared_bytes,
            void* /*stream*/, const Arguments&... arguments) {
  host::run_blocks(blocks, threads, shared_bytes, [&] { kernel(arguments...); });
}

inline int thread_index() { return host::thread_index(); }
inline int block_index() { return host::block_index(); }
inline void* shared_memory() { return host::shared_memory(); }
inline void block_barrier() { host::block_barrier(); }
inline void named_barrier_sync(int id, int threads) { host::named_barrier(id, threads, /*wait=*/true); }
inline void named_barrier_arrive(int id, int threads) { host::named_barrier(id, threads, /*wait=*/false); }
inline void warp_barrier() { host::warp_barrier(); }

template <class Value>
Value shuffle(Value value, int lane) {
  static_assert(sizeof(Value) == sizeof(std::uint32_t), "lanes exchange 4-byte values");
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = host::read_lane(bits, lane);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class Value>
Value shuffle_xor(Value value, int mask) {
  return shuffle(value, (host::thread_index() % host::kLanes) ^ mask);
}

}  // namespace vrwkv::kernels::device
