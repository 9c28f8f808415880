// SPDX-License-Identifier: Apache-2.0
// The threads of one block, who of them waits for what, and which runs next.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/device/host_fiber.h"
#include "kernels/device/host_fibers.h"
#include "kernels/device/host_pages.h"

namespace vrwkv::kernels::device::host {

inline constexpr int kNamedBarriers = 16;  // number 0 is the block's
inline constexpr int kMostWarps = 32;
inline constexpr unsigned char kPoison = 0xFF;  // what fresh shared memory is full of: NaN of any type

/// A use of a word in a kernel's source.
struct Use {
  const char* word;
  Site site;
};

/// "shuffle (wkv7_cuda.cu:212)".
std::string describe(const Use& use);

/// `expected` threads arrive, then the generation changes and whoever waits may go on.
struct Gate {
  int expected = 0;
  int arrived = 0;
  std::uint64_t generation = 0;
};

struct Barrier {
  struct Arrivals {
    std::uint32_t lanes = 0;  // a bit each
    Use use{};                // the first's
  };
  Gate gate;
  std::array<Arrivals, kMostWarps> warps{};
};

struct Warp {
  int running_lanes = 0;
  Gate gate{.expected = kLanes};
  Use use{};          // the collective under way
  WarpWords words{};  // and what the lanes brought
};

struct Copy {
  void* shared;
  const void* global;  // null: zeros
};

struct Thread {
  Fiber* fiber = nullptr;
  bool finished = false;
  const Gate* waits_for = nullptr;
  std::uint64_t generation = 0;            // of the gate it waits for
  Use use{};                               // what it is at, or used last
  std::vector<Copy> copies{};              // asynchronous ones, under way
  std::vector<std::size_t> group_sizes{};  // of those that are committed, oldest first

  bool can_run() const { return !finished && (waits_for == nullptr || waits_for->generation != generation); }
};

/// What all blocks of a launch have in common.
struct Launch {
  const void* kernel;
  Blocks blocks;
  int threads;
  std::size_t shared_bytes;
  const std::function<void()>& body;
  Schedule schedule;
};

class Block {
 public:
  /// The block whose fiber calls this.
  static Block& running();
  /// For FaultTrap: ends the fiber that runs on this CPU thread, if one does, and run() with an error.
  static void fault(const void* address);

  explicit Block(const Launch& launch);

  /// Runs block number `index` to its end.
  void run(int index);

  // What follows is for the running thread.
  const Launch& launch() const { return launch_; }
  int index() const { return index_; }
  int current() const { return current_; }
  Thread& thread() { return threads_[current_]; }

  unsigned char* shared() const { return shared_pages_.end() - aligned_shared_bytes_; }
  bool is_shared(const void* at, std::size_t bytes) const;
  /// Whether an access there was meant for shared memory.
  bool is_near_shared(const void* at) const;

  void block_barrier();
  void named_barrier(int id, int threads, bool wait_for_others);
  /// `compute` null: a barrier.
  LaneWords collective(const LaneWords& mine, void (*compute)(WarpWords&));

  /// @throws EmulationError which says where the thread is, and `what`.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  void start_threads();
  bool run_one_warp(const std::vector<int>& order);
  bool run_lanes(int warp);
  void enter(int thread);
  static void thread_main();
  [[noreturn]] void end_thread();

  void wait(const Gate& gate);
  void arrive(Barrier& barrier, int expected, bool wait_for_others);
  void check_together(const Use& others) const;
  void check_whole_warps(const Barrier& barrier) const;
  std::uint32_t lanes_of(int warp) const;

  void check_end() const;
  [[noreturn]] void report_deadlock() const;
  std::string describe_fault(const void* address) const;
  std::string describe_block() const;
  std::string describe_thread(int thread) const;

  const Launch& launch_;
  std::mt19937_64 random_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::array<Barrier, kNamedBarriers> barriers_;
  const std::size_t aligned_shared_bytes_;
  const GuardedPages shared_pages_;
  std::exception_ptr error_;
  int index_ = 0;
  int current_ = 0;
};

}  // namespace vrwkv::kernels::device::host
