// SPDX-License-Identifier: Apache-2.0
// Runs the threads of a CUDA block as fibers of one CPU thread, to test kernels where no GPU is. A fiber runs
// until it waits; which one runs next is the schedule's choice, and a correct kernel gives the same bits
// under every schedule. Schedules are adversarial on purpose: one warp runs as far as it can before any other
// moves, because taking turns hides missing barriers. Before each block its shared memory is filled with NaN.
//
// Timing, bank conflicts and the memory model of a real device are not emulated.
#pragma once

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
void* shared_memory();
void block_barrier();
void named_barrier(int id, int threads, bool wait);
void warp_barrier();
/// Shows `value` to the warp and returns what `lane` showed.
std::uint32_t read_lane(std::uint32_t value, int lane);

}  // namespace vrwkv::kernels::device::host
