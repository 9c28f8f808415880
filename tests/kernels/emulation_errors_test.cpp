// SPDX-License-Identifier: Apache-2.0
// The mistakes that the emulation is there for: each is made here, and has to be found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "kernels/device/device.h"
#include "tests/kernels/every_schedule.h"

namespace vrwkv::kernels::device {
namespace {

using host::EmulationError;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

/// What one block of `kernel` writes to `count` ints, as long as nothing is wrong.
template <class Kernel, class... Arguments>
std::vector<int> ints_of(Kernel kernel, int count, int threads, std::size_t shared_bytes, Arguments... rest) {
  std::vector<int> out(static_cast<std::size_t>(count), -1);
  launch(kernel, 1, threads, shared_bytes, nullptr, out.data(), rest...);
  return out;
}

/// The schedules under which it writes something else than under the first.
template <class Kernel, class... Arguments>
std::string differing(Kernel kernel, int count, int threads, std::size_t shared_bytes, Arguments... rest) {
  const auto run = [&] { return ints_of(kernel, count, threads, shared_bytes, rest...); };
  return test::schedules_that_differ(run, run());
}

/// The message of the error that `kernel` ends with under every schedule.
template <class... Parameters, class... Arguments>
std::string error_of(void (*kernel)(Parameters...), int threads, std::size_t shared_bytes,
                     Arguments... arguments) {
  std::string message;
  const auto run = [&](const char* name, const host::Schedule& schedule) {
    host::set_schedule(schedule);
    try {
      launch(kernel, 1, threads, shared_bytes, nullptr, arguments...);
      ADD_FAILURE() << "no error under " << name;
    } catch (const EmulationError& error) {
      message = error.what();
    }
  };
  run("ucontext", {.switch_by_ucontext = true});
  for (const test::NamedSchedule& named : test::kEverySchedule) run(named.name, named.schedule);
  host::set_schedule({});
  return message;
}

// --- Found because schedules differ.

void swap_halves(int* out, int threads, bool with_barrier) {
  auto* shared = static_cast<int*>(shared_memory());
  shared[thread_index()] = thread_index();
  if (with_barrier) block_barrier();
  out[thread_index()] = shared[(thread_index() + threads / 2) % threads];
}

TEST(Schedules, ShowAMissingBarrier) {
  EXPECT_EQ(differing(swap_halves, 64, 64, 256, 64, true), "");
  EXPECT_THAT(differing(swap_halves, 64, 64, 256, 64, false), HasSubstr("warps descending"));
}

/// Lane l tells lane l + 1 something through shared memory.
void hand_on(int* out, bool with_barrier) {
  auto* shared = static_cast<int*>(shared_memory());
  shared[thread_index()] = 100 + thread_index();
  if (with_barrier) warp_barrier();
  if (thread_index() > 0) out[thread_index()] = shared[thread_index() - 1];
}

TEST(Schedules, ShowAMissingWarpBarrier) {
  EXPECT_EQ(differing(hand_on, 32, 32, 128, true), "");
  EXPECT_THAT(differing(hand_on, 32, 32, 128, false), HasSubstr("lanes reversed"));
}

void both_warps_write(int* out) { out[thread_index() % kWarpLanes] = thread_index(); }

TEST(Schedules, ShowARaceBetweenWarps) {
  EXPECT_THAT(differing(both_warps_write, 32, 64, 0), HasSubstr("warps descending"));
}

void every_block_writes(int* out) { *out = block_index(); }

TEST(Schedules, ShowARaceBetweenBlocks) {
  const auto run = [] {
    std::vector<int> out(1);
    launch(every_block_writes, 3, 1, 0, nullptr, out.data());
    return out;
  };
  EXPECT_THAT(test::schedules_that_differ(run, run()), HasSubstr("warps descending"));
}

void copy_and_read(int* out, const int* from, bool with_wait) {
  auto* shared = static_cast<int*>(shared_memory());
  copy_async_16(shared, from);
  copy_async_commit();
  if (with_wait) copy_async_wait<0>();
  for (int i = 0; i < 4; ++i) out[i] = shared[i];
}

TEST(Schedules, ShowAMissingWait) {
  alignas(16) const std::array<int, 4> from = {1, 2, 3, 4};
  EXPECT_EQ(ints_of(copy_and_read, 4, 1, 16, from.data(), true), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(differing(copy_and_read, 4, 1, 16, from.data(), true), "");
  EXPECT_THAT(differing(copy_and_read, 4, 1, 16, from.data(), false), HasSubstr("copies at once"));
}

/// Warp 0 fetches the next piece to where warp 1 may still read the last.
void fetch_over_what_is_read(int* out, const int* from, bool with_barrier) {
  auto* shared = static_cast<int*>(shared_memory());
  const int lane = thread_index() % kWarpLanes;
  if (thread_index() < kWarpLanes) shared[lane] = lane;
  block_barrier();
  if (thread_index() >= kWarpLanes) out[lane] = shared[lane];
  if (with_barrier) block_barrier();
  if (thread_index() < 8) copy_async_16(shared + 4 * thread_index(), from + 4 * thread_index());
  copy_async_commit();
  if (!with_barrier) block_barrier();
  copy_async_wait<0>();
}

TEST(Schedules, ShowACopyOverWhatIsStillRead) {
  alignas(16) const std::array<int, 32> from = {};
  EXPECT_EQ(differing(fetch_over_what_is_read, 32, 64, 128, from.data(), true), "");
  EXPECT_THAT(differing(fetch_over_what_is_read, 32, 64, 128, from.data(), false),
              HasSubstr("copies at once"));
}

// --- Found where they are made.

void wait_with_half_of_the_block() {
  if (thread_index() < 32) block_barrier();
}

TEST(Errors, NameADeadlock) {
  EXPECT_THAT(error_of(wait_with_half_of_the_block, 64, 0),
              MatchesRegex("wait_with_half_of_the_block \\(emulation_errors_test.cpp:[0-9]+\\), block 0: "
                           "deadlock: waiting are threads 0..31 \\(from warp 0\\) at block_barrier "
                           "\\(emulation_errors_test.cpp:[0-9]+\\), where 32 of 64 arrived."));
}

template <int kLane>
void shuffle_without_a_lane() {
  if (thread_index() == kLane) return;
  warp_barrier();
}

TEST(Errors, NameACollectiveWithoutAllItsLanes) {
  EXPECT_THAT(error_of(shuffle_without_a_lane<3>, 32, 0),
              AllOf(HasSubstr("shuffle_without_a_lane<3>"), HasSubstr("block 0, warp 0, lane "),
                    HasSubstr("at warp_barrier (emulation_errors_test.cpp:"), HasSubstr("but only 31 run")));
  EXPECT_THAT(error_of(shuffle_without_a_lane<-1>, 16, 0), HasSubstr("only 16 run"));
}

void part(bool at_a_barrier) {
  if (thread_index() % 2 == 0) {
    at_a_barrier ? block_barrier() : warp_barrier();
  } else {
    at_a_barrier ? block_barrier() : warp_barrier();
  }
}

void shuffle_or_vote() {
  if (thread_index() < 16) {
    shuffle(1, 1);
  } else {
    ballot(true);
  }
}

TEST(Errors, NameLanesThatPart) {
  const auto says_so = AllOf(HasSubstr("another lane of the warp is at "), HasSubstr("_errors_test.cpp:"));
  EXPECT_THAT(error_of(part, 32, 0, false), says_so);
  EXPECT_THAT(error_of(part, 32, 0, true), says_so);
  EXPECT_THAT(error_of(shuffle_or_vote, 32, 0), AllOf(says_so, HasSubstr("ballot"), HasSubstr("shuffle")));
}

void arrive_for_nobody() {
  if (thread_index() < 32) named_barrier_arrive(2, 64);
}
void expect_different_numbers() { named_barrier_sync(3, thread_index() < 32 ? 64 : 96); }
void use_a_barrier(int id, int threads) { named_barrier_sync(id, threads); }
void arrive_twice() {
  if (thread_index() < 32) {
    for (int i = 0; i < 2; ++i) named_barrier_arrive(1, 96);
  }
}
void arrive_with_half_warps() {
  if (thread_index() % 32 < 16) named_barrier_sync(1, 32);
}
void expect_too_few() { named_barrier_sync(1, 64); }

TEST(Errors, NameWrongNamedBarriers) {
  EXPECT_THAT(
      error_of(arrive_for_nobody, 64, 0),
      HasSubstr("all threads ended, but 32 of 64 arrived at barrier 2, warp 0 at named_barrier_arrive"));
  EXPECT_THAT(error_of(expect_different_numbers, 96, 0), HasSubstr("where others expect"));
  EXPECT_THAT(error_of(use_a_barrier, 32, 0, 0, 32), HasSubstr("ids are 1..15"));
  EXPECT_THAT(error_of(use_a_barrier, 32, 0, 16, 32), HasSubstr("ids are 1..15"));
  EXPECT_THAT(error_of(use_a_barrier, 64, 0, 1, 48), HasSubstr("whole warps are possible"));
  EXPECT_THAT(error_of(use_a_barrier, 64, 0, 1, 96), HasSubstr("is to wait for 96 threads of 64"));
  EXPECT_THAT(error_of(arrive_twice, 96, 0), HasSubstr("it arrives once more before all others have"));
  EXPECT_THAT(error_of(arrive_with_half_warps, 64, 0), HasSubstr("of warp 0 only 16"));
  EXPECT_THAT(error_of(expect_too_few, 96, 0), HasSubstr("where 32 of 64 arrived"));
}

/// Reads or writes the int at this place in shared memory.
void touch(int* out, int place, bool write) {
  volatile int* shared = static_cast<int*>(shared_memory());
  warp_barrier();
  if (thread_index() != 5) return;
  if (write) {
    shared[place] = 1;
  } else {
    *out = shared[place];
  }
}

TEST(Errors, NameAnAccessOutsideOfSharedMemory) {
  int out = 0;
  for (const bool write : {false, true}) {
    EXPECT_THAT(
        error_of(touch, 32, 4096, &out, 1024, write),
        MatchesRegex(
            "touch \\(emulation_errors_test.cpp:[0-9]+\\), block 0, warp 0, lane 5, after warp_barrier "
            "\\(emulation_errors_test.cpp:[0-9]+\\): it touches byte 4096 of 4096 in shared memory."));
    EXPECT_THAT(error_of(touch, 32, 4096, &out, -1, write), HasSubstr("byte -4 of 4096"));
    EXPECT_THAT(error_of(touch, 32, 0, &out, 0, write), HasSubstr("byte 0 of 0"));
    EXPECT_THAT(error_of(touch, 32, 1000, &out, 260, write), HasSubstr("byte 1040 of 1000"));
  }
  EXPECT_THAT(error_of(touch, 32, 1000, &out, 250, true), HasSubstr("just outside its 1000 bytes"));
  EXPECT_THAT(error_of(touch, 32, 1024, &out, -1, true), HasSubstr("just outside its 1024 bytes"));
}

void load_sixteen(int place) { load_16<Word4>(static_cast<char*>(shared_memory()) + place); }
void store_sixteen(int place) { store_16(static_cast<char*>(shared_memory()) + place, Word4{}); }
void load_rows(int place) {
  std::uint32_t r[4];
  load_matrices<false>(r, static_cast<char*>(shared_memory()) + (thread_index() == 9 ? place : 0));
}
void copy_sixteen(int to, int from) {
  alignas(16) static const std::array<char, 32> kGlobal = {};
  copy_async_16(static_cast<char*>(shared_memory()) + to, kGlobal.data() + from);
}

TEST(Errors, NameWordsAtWrongAddresses) {
  const auto outside = HasSubstr("is not one of the 100 bytes of shared memory");
  const auto unaligned = HasSubstr("is not on a 16-byte boundary");
  EXPECT_THAT(error_of(load_sixteen, 1, 100, 96), AllOf(HasSubstr("at load_16 (emulation_"), outside));
  EXPECT_THAT(error_of(load_sixteen, 1, 100, 8), unaligned);
  EXPECT_THAT(error_of(store_sixteen, 1, 100, 112), outside);
  EXPECT_THAT(error_of(store_sixteen, 1, 100, -16), outside);
  EXPECT_THAT(error_of(load_rows, 32, 100, 96),
              AllOf(HasSubstr("warp 0, lane 9, at load_matrices"), outside));
  EXPECT_THAT(error_of(load_rows, 32, 100, 4), unaligned);
  EXPECT_THAT(error_of(copy_sixteen, 1, 100, 96, 0), outside);
  EXPECT_THAT(error_of(copy_sixteen, 1, 100, 2, 0), unaligned);
  EXPECT_THAT(error_of(copy_sixteen, 1, 100, 0, 4), unaligned);
}

void write_to(volatile int* address) { *address = 1; }

int sink(const volatile char* bytes, int depth) {
  volatile char frame[4096];
  frame[0] = bytes[0];
  return depth == 0 ? frame[0] : sink(frame, depth - 1) + frame[0];
}
void recurse(int depth) {
  volatile char first = 0;
  sink(&first, depth);
}

TEST(Errors, NameOtherFaults) {
  auto* const nothing = reinterpret_cast<volatile int*>(std::uintptr_t{64});
  EXPECT_THAT(error_of(write_to, 1, 0, nothing), AllOf(HasSubstr("after launch (emulation_errors_test.cpp:"),
                                                       HasSubstr("it touches 0x40, where nothing is")));
  EXPECT_THAT(error_of(recurse, 32, 0, 1000), HasSubstr("its stack overflows"));
}

void do_nothing() {}

TEST(Errors, NameLaunchesThatNoGpuDoes) {
  const auto says_so = testing::ThrowsMessage<EmulationError>(HasSubstr("no GPU does this"));
  EXPECT_THAT([] { launch(do_nothing, 0, 32, 0, nullptr); }, says_so);
  EXPECT_THAT([] { launch(do_nothing, 1, 0, 0, nullptr); }, says_so);
  EXPECT_THAT([] { launch(do_nothing, 1, 1025, 0, nullptr); }, says_so);
  EXPECT_THAT([] { launch(do_nothing, 1, 32, 227 * 1024 + 1, nullptr); }, says_so);
}

}  // namespace
}  // namespace vrwkv::kernels::device
