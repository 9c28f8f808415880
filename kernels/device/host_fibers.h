// SPDX-License-Identifier: Apache-2.0
// Runs the threads of a CUDA block as fibers of one CPU thread, to test kernels where no GPU is. A fiber runs
// until it waits; which one runs next is the schedule's choice, and a correct kernel gives the same bits
// under every schedule. Schedules are adversarial on purpose: one warp runs as far as it can before any other
// moves, because taking turns hides missing barriers. Before each block its shared memory is filled with NaN.
//
// Timing, bank conflicts and the memory model of a real device are not emulated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

namespace vrwkv::kernels::device::host {

inline constexpr int kLanes = 32;

/// The kernel did what hangs or is undefined on a GPU: a deadlock, a collective without all its lanes, a
/// wrong barrier.
class EmulationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class WarpOrder { kAscending, kDescending, kShuffled };

struct Schedule {
  WarpOrder warps = WarpOrder::kAscending;
  bool reverse_lanes = false;  // shows a missing warp_barrier()
  std::uint64_t seed = 0;      // of kShuffled
};

/// For the launches of this CPU thread from now on.
void set_schedule(const Schedule& schedule);

/// Runs body() in every thread of every block.
/// @throws EmulationError, or what body() throws; the block is then abandoned: its fibers' objects are not
/// destroyed.
void run_blocks(std::int64_t blocks, int threads, std::size_t shared_bytes,
                const std::function<void()>& body);

// For code inside body(); what each does is said in device.h.
int thread_index();
int block_index();
int block_count();
void* shared_memory();
void block_barrier();
void named_barrier(int id, int threads, bool wait);
void warp_barrier();

/// What a lane brings to a collective, and takes from it.
using LaneWords = std::array<std::uint32_t, 10>;
using WarpWords = std::array<LaneWords, kLanes>;

/// When all lanes of the warp have brought their words, `compute` replaces them by the results, once for
/// all, and each lane gets its own.
LaneWords collective(const LaneWords& mine, void (*compute)(WarpWords&));

/// @throws EmulationError when `at` is not on a 16-byte boundary.
void check_16_aligned(const void* at, const char* word);
/// The same when the 16 bytes are not in shared memory.
void check_16_shared(const void* at, const char* word);

/// `global` null: zeros. The copy lands in copy_async_wait().
void copy_async_16(void* shared, const void* global);
void copy_async_commit();
void copy_async_wait(int youngest);

}  // namespace vrwkv::kernels::device::host
