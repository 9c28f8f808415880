// SPDX-License-Identifier: Apache-2.0
// That the emulation runs a block as a GPU would. The mistakes that it finds: emulation_errors_test.cpp.
#include "kernels/device/host_fibers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "kernels/device/device.h"
#include "tests/kernels/every_schedule.h"

namespace vrwkv::kernels::device {
namespace {

using host::Schedule;
using test::same_under_every_schedule;

/// Every thread writes its number, and reads the one of the thread half a block away.
void swap_halves(int* out, int threads) {
  auto* shared = static_cast<int*>(shared_memory());
  shared[thread_index()] = thread_index();
  block_barrier();
  out[block_index() * threads + thread_index()] = shared[(thread_index() + threads / 2) % threads];
}

std::vector<int> swapped_halves(int blocks, int threads) {
  std::vector<int> out(static_cast<std::size_t>(blocks * threads), -1);
  launch(swap_halves, blocks, threads, threads * sizeof(int), nullptr, out.data(), threads);
  return out;
}

TEST(Emulation, SharesMemoryBetweenTheThreadsOfABlock) {
  for (const int threads : {2, 32, 80, 1024}) {  // whole warps or not
    constexpr int kBlocks = 3;
    const auto out = same_under_every_schedule([&] { return swapped_halves(kBlocks, threads); });
    for (int i = 0; i < kBlocks * threads; ++i) {
      ASSERT_EQ(out[i], (i % threads + threads / 2) % threads) << threads;
    }
  }
}

TEST(Emulation, SwitchesByUcontextToo) {
  host::set_schedule({.switch_by_ucontext = true});
  const auto portable = swapped_halves(2, 64);
  host::set_schedule({});
  EXPECT_EQ(portable, swapped_halves(2, 64));
}

TEST(Emulation, RunsOnSeveralCpuThreadsAtOnce) {
  std::vector<int> results[2];
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) results[0] = swapped_halves(2, 96);
  });
  for (int i = 0; i < 50; ++i) results[1] = swapped_halves(2, 96);
  other.join();
  EXPECT_EQ(results[0], results[1]);
}

void read_fresh_memory(float* out) {
  auto* shared = static_cast<float*>(shared_memory());
  out[block_index()] = shared[0];
  shared[0] = 1.0F;
}

TEST(Emulation, FillsSharedMemoryWithNanBeforeEachBlock) {
  std::vector<float> out(2);
  launch(read_fresh_memory, 2, 1, sizeof(float), nullptr, out.data());
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_TRUE(std::isnan(out[1]));
}

void note_alignment(std::uintptr_t* out) { *out = reinterpret_cast<std::uintptr_t>(shared_memory()) % 128; }

TEST(Emulation, AlignsSharedMemory) {
  for (const std::size_t bytes : {1, 100, 128, 5000, 227 * 1024}) {
    std::uintptr_t out = 1;
    launch(note_alignment, 1, 1, bytes, nullptr, &out);
    EXPECT_EQ(out, 0U) << bytes;
  }
}

void sum_and_broadcast(float* out) {
  float sum = static_cast<float>(thread_index());
  for (int mask = 1; mask < kWarpLanes; mask *= 2) sum += shuffle_xor(sum, mask);
  const int from_lane_7 = shuffle(thread_index(), 7);
  out[thread_index()] = sum + 10000.0F * static_cast<float>(from_lane_7);
}

TEST(Emulation, ExchangesValuesInsideEachWarp) {
  const auto out = same_under_every_schedule([] {
    std::vector<float> result(64);
    launch(sum_and_broadcast, 1, 64, 0, nullptr, result.data());
    return result;
  });
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i < 32 ? 496.0F + 70000.0F : 496.0F + 32 * 32 + 390000.0F);
}

/// Warp 0 produces eight numbers, one after the other in one place, and warp 1 consumes them. Neither waits
/// longer than it must: `full` is barrier 1, `empty` barrier 2.
void produce_and_consume(int* out) {
  auto* shared = static_cast<int*>(shared_memory());
  const int lane = thread_index() % kWarpLanes;
  for (int i = 0; i < 8; ++i) {
    if (thread_index() < kWarpLanes) {
      if (i > 0) named_barrier_sync(2, 64);
      shared[lane] = 100 * i + lane;
      named_barrier_arrive(1, 64);
    } else {
      named_barrier_sync(1, 64);
      out[i * kWarpLanes + lane] = shared[(lane + 1) % kWarpLanes];
      if (i < 7) named_barrier_arrive(2, 64);
    }
  }
}

TEST(Emulation, LetsNamedBarriersConnectWarps) {
  const auto out = same_under_every_schedule([] {
    std::vector<int> result(8 * kWarpLanes, -1);
    launch(produce_and_consume, 1, 64, 128, nullptr, result.data());
    return result;
  });
  for (int i = 0; i < 8 * kWarpLanes; ++i) EXPECT_EQ(out[i], i / 32 * 100 + (i % 32 + 1) % 32);
}

void throw_in_one_thread() {
  if (thread_index() == 40) throw std::runtime_error("thread 40");
  block_barrier();
}

TEST(Emulation, PassesOnWhatAKernelThrowsAndWorksAgain) {
  for (const bool ucontext : {false, true}) {
    host::set_schedule({.switch_by_ucontext = ucontext});
    EXPECT_THROW(launch(throw_in_one_thread, 1, 64, 0, nullptr), std::runtime_error);
    EXPECT_EQ(swapped_halves(1, 64)[0], 32);
  }
  host::set_schedule({});
}

}  // namespace
}  // namespace vrwkv::kernels::device
