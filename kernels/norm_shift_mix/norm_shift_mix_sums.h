// SPDX-License-Identifier: Apache-2.0
// What the GPU's backward adds up: over the channels of a token, and over the tokens of a range.
#pragma once

#include <cstddef>

#include "kernels/device/device.h"
#include "kernels/device/octet.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"

namespace vrwkv::kernels::cuda {

inline constexpr int kMaxThreads = kMaxChannels / device::Octet::kChannels;
inline constexpr int kMaxWarps = kMaxThreads / device::kWarpLanes;

/// The sums of two numbers over the block.
struct BlockSums {
  float parts[2][2][kMaxWarps];  // of two tokens by turns: a barrier less

  __device__ __forceinline__ void add(int turn, int warps, float& a, float& b) {
    const int warp = device::thread_index() / device::kWarpLanes;
    a = device::warp_sum(a);
    b = device::warp_sum(b);
    if (device::thread_index() % device::kWarpLanes == 0) {
      parts[turn][0][warp] = a;
      parts[turn][1][warp] = b;
    }
    device::block_barrier();
    a = b = 0.0F;
#pragma unroll 2
    for (int other = 0; other < warps; ++other) {
      a += parts[turn][0][other];
      b += parts[turn][1][other];
    }
  }
};

/// A thread's part of the gradients that are sums over tokens, for its channels: of the mixes, the weight and
/// the bias. The first few are added up in registers, the others, for which there are none left, in shared
/// memory.
template <int kMixes>
class ChannelSums {
 public:
  static constexpr int kWeight = kMixes, kBias = kMixes + 1, kCount = kMixes + 2;
  static constexpr int kInRegisters = kMixes < 2 ? kMixes : 2;
  static constexpr std::size_t kSharedBytes = (kCount - kInRegisters) * sizeof(device::Octet);  // a thread

  __device__ ChannelSums(void* shared, int threads)
      : halves_(static_cast<device::Float4*>(shared) + device::thread_index()), threads_(threads) {
#pragma unroll
    for (int i = kInRegisters; i < kCount; ++i) write(i, {});
  }

  __device__ __forceinline__ device::Octet read(int i) const {
    if (i < kInRegisters) return registers_[i];
    const device::Float4 *low = half(i), *high = low + threads_;
    return device::octet_of([&](int c) { return c < 4 ? low->at[c] : high->at[c - 4]; });
  }

  __device__ __forceinline__ void add(int i, const device::Octet& more) {
    const device::Octet sum = read(i);
    write(i, device::octet_of([&](int c) { return sum.at[c] + more.at[c]; }));
  }

 private:
  /// Of an octet the lower half, beside that of the next thread; the upper ones follow.
  __device__ __forceinline__ device::Float4* half(int i) const {
    return halves_ + 2 * (i - kInRegisters) * threads_;
  }

  __device__ __forceinline__ void write(int i, const device::Octet& sum) {
    if (i < kInRegisters) {
      registers_[i] = sum;
      return;
    }
    device::Float4* const low = half(i);
    *low = {{sum.at[0], sum.at[1], sum.at[2], sum.at[3]}};
    low[threads_] = {{sum.at[4], sum.at[5], sum.at[6], sum.at[7]}};
  }

  device::Octet registers_[kInRegisters] = {};
  device::Float4* halves_;
  int threads_;
};

}  // namespace vrwkv::kernels::cuda
