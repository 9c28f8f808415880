// SPDX-License-Identifier: Apache-2.0
// The words of device.h on the CPU; include that. See host_fibers.h for how the threads of a block run and
// what is found out about them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bf16.h"
#include "kernels/device/host_fibers.h"
#include "kernels/device/host_limits.h"
#include "kernels/device/host_matrices.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace vrwkv::kernels::device {

// Where a word is used: each takes note by default, for messages.
using host::Site;

/// Runs at once, one block after the other; there are no streams.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const host::Blocks& blocks, int threads, std::size_t shared_bytes,
            void* /*stream*/, const Arguments&... arguments) {
  host::run_blocks(reinterpret_cast<const void*>(kernel), blocks, threads, shared_bytes,
                   [&] { kernel(arguments...); });
}

inline std::size_t shared_memory_limit() { return host::shared_memory_limit(); }

inline int thread_index() { return host::thread_index(); }
inline int block_index() { return host::block_index(); }
inline int block_count() { return host::block_count(); }
inline void* shared_memory() { return host::shared_memory(); }

inline void block_barrier(Site site = Site::current()) { host::block_barrier(site); }
inline void named_barrier_sync(int id, int threads, Site site = Site::current()) {
  host::named_barrier_sync(id, threads, site);
}
inline void named_barrier_arrive(int id, int threads, Site site = Site::current()) {
  host::named_barrier_arrive(id, threads, site);
}
inline void warp_barrier(Site site = Site::current()) { host::warp_barrier(site); }

template <class To, class From>
To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "bits are neither made nor lost");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class Value>
Value shuffle(Value value, int lane, Site site = Site::current()) {
  const auto read_lanes = [](host::WarpWords& words) {
    const host::WarpWords shown = words;
    for (host::LaneWords& mine : words) mine[0] = shown[mine[1] % host::kLanes][0];
  };
  const host::LaneWords mine = {same_bits<std::uint32_t>(value), static_cast<std::uint32_t>(lane)};
  return same_bits<Value>(host::collective("shuffle", mine, read_lanes, site)[0]);
}

template <class Value>
Value shuffle_xor(Value value, int mask, Site site = Site::current()) {
  // Qualified: the site's namespace, std, has a shuffle of two equal types and one more.
  return device::shuffle(value, (host::thread_index() % host::kLanes) ^ mask, site);
}

inline std::uint32_t ballot(bool condition, Site site = Site::current()) {
  const auto count = [](host::WarpWords& words) {
    std::uint32_t bits = 0;
    for (int lane = 0; lane < host::kLanes; ++lane) bits |= words[lane][0] << lane;
    for (host::LaneWords& mine : words) mine[0] = bits;
  };
  return host::collective("ballot", {condition ? 1U : 0U}, count, site)[0];
}

inline float warp_sum(float x, Site site = Site::current()) {
  for (int mask = host::kLanes / 2; mask > 0; mask /= 2) x += shuffle_xor(x, mask, site);
  return x;
}

template <class Value>
Value load_16(const void* from, Site site = Site::current()) {
  static_assert(sizeof(Value) == 16 && alignof(Value) == 16, "moves as one");
  host::check_16_bytes("load_16", from, site);
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class Value>
void store_16(void* to, const Value& value, Site site = Site::current()) {
  static_assert(sizeof(Value) == 16 && alignof(Value) == 16, "moves as one");
  host::check_16_bytes("store_16", to, site);
  std::memcpy(to, &value, sizeof value);
}

inline void copy_async_16(void* shared, const void* global, Site site = Site::current()) {
  host::copy_async_16(shared, global, /*valid=*/true, site);
}
inline void copy_async_16(void* shared, const void* global, bool valid, Site site = Site::current()) {
  host::copy_async_16(shared, global, valid, site);
}
inline void copy_async_commit(Site site = Site::current()) { host::copy_async_commit(site); }
template <int kYoungest>
void copy_async_wait(Site site = Site::current()) {
  host::copy_async_wait(kYoungest, site);
}

inline std::uint32_t pack_bf16(float low, float high) {
  return to_bf16(low).bits | static_cast<std::uint32_t>(to_bf16(high).bits) << 16U;
}

inline void unpack_bf16(std::uint32_t packed, float& low, float& high) {
  low = same_bits<float>(packed << 16U);
  high = same_bits<float>(packed & 0xFFFF0000U);
}

template <bool kTransposed>
void load_matrices(std::uint32_t (&r)[4], const void* row, Site site = Site::current()) {
  host::check_16_shared_bytes("load_matrices", row, site);
  host::LaneWords words{};
  std::memcpy(words.data(), &row, sizeof row);
  words = host::collective("load_matrices", words, host::load_matrices<kTransposed>, site);
  std::copy_n(words.begin(), 4, r);
}

inline void mma_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                        Site site = Site::current()) {
  host::LaneWords words{};
  std::memcpy(words.data(), d, sizeof d);
  std::copy_n(a, 4, words.begin() + 4);
  words[8] = b0;
  words[9] = b1;
  words = host::collective("mma_16x8x16", words, host::multiply_matrices, site);
  std::memcpy(d, words.data(), sizeof d);
}

/// As the fast instructions do with results too small to be normal.
inline float flush_to_zero(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x;
}

inline float exp2_fast(float x) { return flush_to_zero(std::exp2(flush_to_zero(x))); }
inline float exp_fast(float x) { return exp2_fast(x * 1.44269504F); }
inline float reciprocal_fast(float x) { return flush_to_zero(1.0F / flush_to_zero(x)); }
inline float rsqrt_fast(float x) { return 1.0F / std::sqrt(flush_to_zero(x)); }

}  // namespace vrwkv::kernels::device
