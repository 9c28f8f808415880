// SPDX-License-Identifier: Apache-2.0
// That the emulation computes what a GPU would, and that it finds the mistakes it is there for.
#include "kernels/device/host_fibers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/device/device.h"

namespace vrwkv::kernels::device {
namespace {

using host::EmulationError;
using host::Schedule;
using host::WarpOrder;

const Schedule kSchedules[] = {{},
                               {.warps = WarpOrder::kDescending},
                               {.warps = WarpOrder::kShuffled, .seed = 3},
                               {.reverse_lanes = true},
                               {.warps = WarpOrder::kShuffled, .reverse_lanes = true, .seed = 4}};

/// Launches under every schedule, and gives the message of the first error, or "".
template <class... Arguments>
std::string error_of(void (*kernel)(Arguments...), int threads, std::size_t shared_bytes,
                     Arguments... arguments) {
  for (const Schedule& schedule : kSchedules) {
    host::set_schedule(schedule);
    try {
      launch(kernel, 1, threads, shared_bytes, nullptr, arguments...);
    } catch (const EmulationError& error) {
      return error.what();
    }
  }
  return "";
}

/// Every thread writes its number, and reads the one of the thread half a block away.
void swap_halves(int* out, int threads, bool with_barrier) {
  auto* shared = static_cast<int*>(shared_memory());
  shared[thread_index()] = thread_index();
  if (with_barrier) block_barrier();
  out[block_index() * threads + thread_index()] = shared[(thread_index() + threads / 2) % threads];
}

TEST(Emulation, SharesMemoryBetweenTheThreadsOfABlock) {
  constexpr int kThreads = 96, kBlocks = 3;
  for (const Schedule& schedule : kSchedules) {
    host::set_schedule(schedule);
    std::vector<int> out(kBlocks * kThreads, -1);
    launch(swap_halves, kBlocks, kThreads, kThreads * sizeof(int), nullptr, out.data(), kThreads, true);
    for (int i = 0; i < kBlocks * kThreads; ++i) EXPECT_EQ(out[i], (i % kThreads + kThreads / 2) % kThreads);
  }
}

TEST(Emulation, ShowsAMissingBarrier) {
  constexpr int kThreads = 64;
  int schedules_that_show_it = 0;
  for (const Schedule& schedule : kSchedules) {
    host::set_schedule(schedule);
    std::vector<int> out(kThreads, 0);
    launch(swap_halves, 1, kThreads, kThreads * sizeof(int), nullptr, out.data(), kThreads, false);
    bool wrong = false;
    for (int i = 0; i < kThreads; ++i) wrong = wrong || out[i] != (i + kThreads / 2) % kThreads;
    schedules_that_show_it += wrong ? 1 : 0;
  }
  EXPECT_EQ(schedules_that_show_it, 5);
}

/// Lane l tells lane l + 1 something through shared memory.
void hand_on(int* out, bool with_barrier) {
  auto* shared = static_cast<int*>(shared_memory());
  shared[thread_index()] = 100 + thread_index();
  if (with_barrier) warp_barrier();
  if (thread_index() > 0) out[thread_index()] = shared[thread_index() - 1];
}

TEST(Emulation, ShowsAMissingWarpBarrierWhenLanesRunInReverse) {
  for (const bool with_barrier : {true, false}) {
    host::set_schedule({.reverse_lanes = true});
    std::vector<int> out(kWarpLanes, 0);
    launch(hand_on, 1, kWarpLanes, kWarpLanes * sizeof(int), nullptr, out.data(), with_barrier);
    EXPECT_EQ(out[5] == 104, with_barrier);
  }
}

void read_fresh_memory(float* out) { *out = static_cast<float*>(shared_memory())[thread_index()]; }

TEST(Emulation, FillsSharedMemoryWithNan) {
  float out = 0.0F;
  launch(read_fresh_memory, 2, 1, sizeof(float), nullptr, &out);
  EXPECT_TRUE(std::isnan(out));
}

void sum_and_broadcast(float* out) {
  float sum = static_cast<float>(thread_index());
  for (int mask = 1; mask < kWarpLanes; mask *= 2) sum += shuffle_xor(sum, mask);
  const int from_lane_7 = shuffle(thread_index(), 7);
  out[thread_index()] = sum + 10000.0F * static_cast<float>(from_lane_7);
}

TEST(Emulation, ExchangesValuesInsideEachWarp) {
  for (const Schedule& schedule : kSchedules) {
    host::set_schedule(schedule);
    std::vector<float> out(64);
    launch(sum_and_broadcast, 1, 64, 0, nullptr, out.data());
    for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i < 32 ? 496.0F + 70000.0F : 496.0F + 32 * 32 + 390000.0F);
  }
}

/// Warp 0 produces for warp 1, which does not make it wait.
void produce_and_consume(int* out) {
  auto* shared = static_cast<int*>(shared_memory());
  if (thread_index() < kWarpLanes) {
    shared[thread_index()] = thread_index();
    named_barrier_arrive(1, 64);
  } else {
    named_barrier_sync(1, 64);
    out[thread_index() - kWarpLanes] = shared[thread_index() - kWarpLanes];
  }
}

TEST(Emulation, LetsNamedBarriersConnectWarps) {
  for (const Schedule& schedule : kSchedules) {
    host::set_schedule(schedule);
    std::vector<int> out(kWarpLanes, -1);
    launch(produce_and_consume, 1, 64, 128, nullptr, out.data());
    for (int i = 0; i < kWarpLanes; ++i) EXPECT_EQ(out[i], i);
  }
}

void wait_with_half_of_the_block() {
  if (thread_index() < 32) block_barrier();
}

TEST(Emulation, ReportsADeadlock) {
  EXPECT_EQ(error_of(wait_with_half_of_the_block, 64, 0),
            "block 0: deadlock: 32 of 64 threads wait; thread 0 is at a barrier where 32 of 64 arrived.");
}

void shuffle_after_some_lanes_returned() {
  if (thread_index() == 3) return;
  warp_barrier();
  shuffle_xor(1.0F, 1);
}

TEST(Emulation, ReportsACollectiveWithoutAllItsLanes) {
  EXPECT_NE(
      error_of(shuffle_after_some_lanes_returned, 32, 0).find("needs all lanes of its warp, but only 31 run"),
      std::string::npos);
}

void arrive_for_nobody() { named_barrier_arrive(2, 64); }
void expect_different_numbers() { named_barrier_sync(3, thread_index() < 32 ? 64 : 96); }
void use_barrier_zero_by_name() { named_barrier_sync(0, 32); }

TEST(Emulation, ReportsWrongNamedBarriers) {
  EXPECT_EQ(error_of(arrive_for_nobody, 32, 0),
            "block 0: 32 threads arrived at barrier 2 of the 64 it expects, and all ended.");
  EXPECT_NE(error_of(expect_different_numbers, 64, 0).find("where others expect"), std::string::npos);
  EXPECT_NE(error_of(use_barrier_zero_by_name, 32, 0).find("ids are 1..15"), std::string::npos);
}

TEST(Emulation, WorksAgainAfterAnError) {
  EXPECT_NE(error_of(wait_with_half_of_the_block, 64, 0), "");
  std::vector<int> out(32, -1);
  EXPECT_EQ(error_of(swap_halves, 32, 128, out.data(), 32, true), "");
}

}  // namespace
}  // namespace vrwkv::kernels::device
