// SPDX-License-Identifier: Apache-2.0
// Runs the threads of a CUDA block as fibers of one CPU thread, to test kernels where no GPU is. A fiber runs
// until it waits; which one runs next is the schedule's choice, and a correct kernel gives the same bits
// under every schedule. Schedules are adversarial on purpose: one warp runs as far as it can before any other
// moves, because taking turns hides missing barriers.
//
// Before each block its shared memory is filled with NaN. It ends at a page that must not be touched when its
// size is a multiple of 128 bytes, and otherwise at most 127 bytes before one; the words of device.h know the
// size exactly, and what else is written between is found when the block ends.
//
// Timing, bank conflicts and the memory model of a real device are not emulated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>

namespace vrwkv::kernels::device::host {

inline constexpr int kLanes = 32;

/// The kernel did what hangs, fails or is undefined on a GPU: a deadlock, a collective without all its lanes,
/// a wrong barrier, an access out of bounds. The message names kernel, block, warp and lane, and the line of
/// the word that the thread is at, or used last.
class EmulationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class WarpOrder { kAscending, kDescending, kShuffled };

struct Schedule {
  WarpOrder warps = WarpOrder::kAscending;
  bool reverse_lanes = false;        // shows a missing warp_barrier()
  bool reverse_blocks = false;       // shows blocks that depend on one another
  bool copies_land_at_once = false;  // and not at their wait: shows a copy to what is still being read
  std::uint64_t seed = 0;            // of kShuffled
  bool switch_by_ucontext = false;   // as on CPUs for which nothing faster is written
};

/// For the launches of this CPU thread from now on.
void set_schedule(const Schedule& schedule);

using Site = std::source_location;

/// The blocks of a launch; takes note of where it is.
struct Blocks {
  Blocks(std::int64_t how_many, Site where = Site::current()) : count(how_many), site(where) {}
  std::int64_t count;
  Site site;
};

/// Runs body(), which calls `kernel`, in every thread of every block.
/// @throws EmulationError, or what body() throws; the block is then abandoned: its fibers' objects are not
/// destroyed.
void run_blocks(const void* kernel, const Blocks& blocks, int threads, std::size_t shared_bytes,
                const std::function<void()>& body);

// For code inside body(); what each does is said in device.h, and all throw EmulationError.
int thread_index();
int block_index();
int block_count();
void* shared_memory();
void block_barrier(Site site);
void named_barrier_sync(int id, int threads, Site site);
void named_barrier_arrive(int id, int threads, Site site);
void warp_barrier(Site site);

/// What a lane brings to a collective, and takes from it.
using LaneWords = std::array<std::uint32_t, 10>;
using WarpWords = std::array<LaneWords, kLanes>;

/// When all lanes of the warp have brought their words, `compute` replaces them by the results, once for
/// all, and each lane gets its own. `word` is the collective's name, for messages.
LaneWords collective(const char* word, const LaneWords& mine, void (*compute)(WarpWords&), Site site);

/// Checks the address of an access to 16 bytes of any memory, and of shared memory.
void check_16_bytes(const char* word, const void* address, Site site);
void check_16_shared_bytes(const char* word, const void* address, Site site);

/// Copies zeros where not valid.
void copy_async_16(void* shared, const void* global, bool valid, Site site);
void copy_async_commit(Site site);
void copy_async_wait(int youngest, Site site);

}  // namespace vrwkv::kernels::device::host
