// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_fibers.h"

#include <fmt/format.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace vrwkv::kernels::device::host {
namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kSharedAlignment = 128;
constexpr int kNamedBarriers = 16;

/// `expected` threads arrive, then the generation changes and whoever waits may go on.
struct Barrier {
  int expected = 0;
  int arrived = 0;
  std::uint64_t generation = 0;
};

struct Warp {
  Barrier barrier;
  int running_lanes = 0;
  WarpWords words{};  // of the collective under way
};

struct Copy {
  void* shared;
  const void* global;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  bool finished = false;
  const Barrier* waits_for = nullptr;
  std::uint64_t generation = 0;          // of the barrier it waits for
  std::vector<Copy> copies;              // asynchronous ones, under way
  std::vector<std::size_t> group_sizes;  // of those that are committed, oldest first

  bool can_run() const { return !finished && (waits_for == nullptr || waits_for->generation != generation); }
};

struct FreeAligned {
  void operator()(unsigned char* memory) const {
    ::operator delete[](memory, std::align_val_t{kSharedAlignment});
  }
};

class Block {
 public:
  Block(std::int64_t blocks, int threads, std::size_t shared_bytes, const std::function<void()>& body,
        const Schedule& schedule)
      : blocks_(blocks),
        body_(body),
        schedule_(schedule),
        random_(schedule.seed),
        fibers_(threads),
        warps_((threads + kLanes - 1) / kLanes),
        shared_bytes_(shared_bytes),
        shared_(new (std::align_val_t{kSharedAlignment}) unsigned char[shared_bytes]) {
    for (Fiber& fiber : fibers_) fiber.stack.reset(new char[kStackBytes]);
  }

  void run(int block_index);

  int block_index() const { return block_index_; }
  int thread_index() const { return current_; }
  void* shared_memory() { return shared_.get(); }
  int threads() const { return static_cast<int>(fibers_.size()); }

  void arrive(Barrier& barrier, int expected, bool wait);
  Barrier& named_barrier(int id) { return named_barriers_.at(id); }
  void warp_barrier();
  LaneWords collective(const LaneWords& mine, void (*compute)(WarpWords&));
  Fiber& fiber() { return fibers_[current_]; }
  bool in_shared_memory(const void* at, std::size_t bytes) const;
  std::int64_t blocks() const { return blocks_; }

 private:
  void start_fibers();
  bool run_one_warp(const std::vector<int>& order);
  bool run_lanes(int warp);
  void resume(int thread);
  void suspend();
  static void fiber_main();
  [[noreturn]] void report_deadlock() const;

  const std::int64_t blocks_;
  const std::function<void()>& body_;
  const Schedule schedule_;
  std::mt19937_64 random_;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::array<Barrier, kNamedBarriers> named_barriers_;
  const std::size_t shared_bytes_;
  std::unique_ptr<unsigned char[], FreeAligned> shared_;
  ucontext_t scheduler_{};
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_bytes_ = 0;
  std::exception_ptr error_;
  int block_index_ = 0;
  int current_ = 0;
};

thread_local Schedule t_schedule;
thread_local Block* t_block = nullptr;  // whose body runs; means nothing outside run_blocks()

/// The address sanitizer must be told of every change of stack.
class StackSwitch {
 public:
#if defined(__SANITIZE_ADDRESS__)
  StackSwitch(const void* stack, std::size_t bytes) {
    __sanitizer_start_switch_fiber(&fake_stack_, stack, bytes);
  }
  void back() { __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr); }
  static void arrived(const void** from, std::size_t* bytes) {
    __sanitizer_finish_switch_fiber(nullptr, from, bytes);
  }

 private:
  void* fake_stack_ = nullptr;
#else
  StackSwitch(const void* /*stack*/, std::size_t /*bytes*/) {}
  void back() {}
  static void arrived(const void** /*from*/, std::size_t* /*bytes*/) {}
#endif
};

void Block::start_fibers() {
  named_barriers_.fill({});
  std::fill(warps_.begin(), warps_.end(), Warp{});
  for (int thread = 0; thread < threads(); ++thread) {
    Fiber& fiber = fibers_[thread];
    fiber.finished = false;
    fiber.waits_for = nullptr;
    fiber.copies.clear();
    fiber.group_sizes.clear();
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    makecontext(&fiber.context, &Block::fiber_main, 0);
    ++warps_[thread / kLanes].running_lanes;
  }
}

void Block::run(int block_index) {
  block_index_ = block_index;
  std::memset(shared_.get(), 0xFF, shared_bytes_);  // NaN, whatever is read from it
  start_fibers();
  std::vector<int> order(warps_.size());
  std::iota(order.begin(), order.end(), 0);
  if (schedule_.warps == WarpOrder::kDescending) std::reverse(order.begin(), order.end());
  while (!std::all_of(fibers_.begin(), fibers_.end(), [](const Fiber& fiber) { return fiber.finished; })) {
    if (schedule_.warps == WarpOrder::kShuffled) std::shuffle(order.begin(), order.end(), random_);
    const bool moved = run_one_warp(order);
    if (error_) std::rethrow_exception(error_);
    if (!moved) report_deadlock();
  }
  for (int id = 0; id < kNamedBarriers; ++id) {
    if (named_barriers_[id].arrived > 0) {
      throw EmulationError(
          fmt::format("block {}: {} threads arrived at barrier {} of the {} it expects, and all ended.",
                      block_index_, named_barriers_[id].arrived, id, named_barriers_[id].expected));
    }
  }
}

/// The first warp in `order` that can move at all does, until none of its lanes can.
bool Block::run_one_warp(const std::vector<int>& order) {
  for (const int warp : order) {
    bool moved = false;
    while (!error_ && run_lanes(warp)) moved = true;
    if (moved || error_) return true;
  }
  return false;
}

bool Block::run_lanes(int warp) {
  const int first = warp * kLanes;
  const int last = std::min(first + kLanes, threads()) - 1;
  bool moved = false;
  for (int lane = 0; first + lane <= last && !error_; ++lane) {
    const int thread = schedule_.reverse_lanes ? last - lane : first + lane;
    if (!fibers_[thread].can_run()) continue;
    resume(thread);
    moved = true;
  }
  return moved;
}

void Block::resume(int thread) {
  current_ = thread;
  Fiber& fiber = fibers_[thread];
  StackSwitch stack_switch(fiber.stack.get(), kStackBytes);
  swapcontext(&scheduler_, &fiber.context);
  stack_switch.back();
  if (fiber.finished) --warps_[thread / kLanes].running_lanes;
}

void Block::suspend() {
  StackSwitch stack_switch(scheduler_stack_, scheduler_stack_bytes_);
  swapcontext(&fibers_[current_].context, &scheduler_);
  stack_switch.back();
}

void Block::fiber_main() {
  Block& block = *t_block;
  StackSwitch::arrived(&block.scheduler_stack_, &block.scheduler_stack_bytes_);
  try {
    block.body_();
  } catch (...) {
    block.error_ = std::current_exception();  // run() throws it again, on its own stack
  }
  block.fibers_[block.current_].finished = true;
  block.suspend();
}

void Block::arrive(Barrier& barrier, int expected, bool wait) {
  if (barrier.arrived > 0 && barrier.expected != expected) {
    throw EmulationError(
        fmt::format("block {}: thread {} expects {} threads at a barrier where others expect {}.",
                    block_index_, current_, expected, barrier.expected));
  }
  barrier.expected = expected;
  if (++barrier.arrived == expected) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  if (!wait) return;
  Fiber& fiber = fibers_[current_];
  fiber.waits_for = &barrier;
  fiber.generation = barrier.generation;
  suspend();
  fiber.waits_for = nullptr;
}

void Block::warp_barrier() {
  Warp& warp = warps_[current_ / kLanes];
  if (warp.running_lanes != kLanes) {
    throw EmulationError(fmt::format("block {}: thread {} needs all lanes of its warp, but only {} run.",
                                     block_index_, current_, warp.running_lanes));
  }
  arrive(warp.barrier, kLanes, /*wait=*/true);
}

LaneWords Block::collective(const LaneWords& mine, void (*compute)(WarpWords&)) {
  Warp& warp = warps_[current_ / kLanes];
  LaneWords& words = warp.words[current_ % kLanes];
  words = mine;
  if (warp.barrier.arrived == kLanes - 1) compute(warp.words);
  warp_barrier();
  return words;
}

bool Block::in_shared_memory(const void* at, std::size_t bytes) const {
  const auto* byte = static_cast<const unsigned char*>(at);
  return byte >= shared_.get() && byte + bytes <= shared_.get() + shared_bytes_;
}

void Block::report_deadlock() const {
  const auto waiting =
      std::find_if(fibers_.begin(), fibers_.end(), [](const Fiber& fiber) { return !fiber.finished; });
  const auto unfinished =
      std::count_if(fibers_.begin(), fibers_.end(), [](const Fiber& fiber) { return !fiber.finished; });
  throw EmulationError(fmt::format(
      "block {}: deadlock: {} of {} threads wait; thread {} is at a barrier where {} of {} arrived.",
      block_index_, unfinished, threads(), waiting - fibers_.begin(), waiting->waits_for->arrived,
      waiting->waits_for->expected));
}

}  // namespace

void set_schedule(const Schedule& schedule) { t_schedule = schedule; }

void run_blocks(std::int64_t blocks, int threads, std::size_t shared_bytes,
                const std::function<void()>& body) {
  Block block(blocks, threads, shared_bytes, body, t_schedule);
  t_block = &block;
  for (std::int64_t index = 0; index < blocks; ++index) block.run(static_cast<int>(index));
}

int thread_index() { return t_block->thread_index(); }
int block_index() { return t_block->block_index(); }
void* shared_memory() { return t_block->shared_memory(); }
void block_barrier() { t_block->arrive(t_block->named_barrier(0), t_block->threads(), /*wait=*/true); }

void named_barrier(int id, int threads, bool wait) {
  if (id < 1 || id >= kNamedBarriers || threads <= 0 || threads % kLanes != 0) {
    throw EmulationError(
        fmt::format("barrier {} for {} threads (ids are 1..15, threads a multiple of 32).", id, threads));
  }
  t_block->arrive(t_block->named_barrier(id), threads, wait);
}

void warp_barrier() { t_block->warp_barrier(); }
LaneWords collective(const LaneWords& mine, void (*compute)(WarpWords&)) {
  return t_block->collective(mine, compute);
}

int block_count() { return static_cast<int>(t_block->blocks()); }

void check_16_aligned(const void* at, const char* word) {
  if (reinterpret_cast<std::uintptr_t>(at) % 16 != 0) {
    throw EmulationError(fmt::format("block {}: thread {}: {} at an address that is not a multiple of 16.",
                                     t_block->block_index(), t_block->thread_index(), word));
  }
}

void check_16_shared(const void* at, const char* word) {
  check_16_aligned(at, word);
  if (!t_block->in_shared_memory(at, 16)) {
    throw EmulationError(fmt::format("block {}: thread {}: {} outside of shared memory.",
                                     t_block->block_index(), t_block->thread_index(), word));
  }
}

void copy_async_16(void* shared, const void* global) {
  check_16_shared(shared, "copy_async_16");
  check_16_aligned(global, "copy_async_16");
  t_block->fiber().copies.push_back({shared, global});
}

void copy_async_commit() {
  Fiber& fiber = t_block->fiber();
  const std::size_t committed = std::accumulate(fiber.group_sizes.begin(), fiber.group_sizes.end(), 0UL);
  fiber.group_sizes.push_back(fiber.copies.size() - committed);
}

void copy_async_wait(int youngest) {
  Fiber& fiber = t_block->fiber();
  while (fiber.group_sizes.size() > static_cast<std::size_t>(youngest)) {
    const auto end = fiber.copies.begin() + static_cast<std::ptrdiff_t>(fiber.group_sizes.front());
    for (auto copy = fiber.copies.begin(); copy != end; ++copy) {
      if (copy->global == nullptr) {
        std::memset(copy->shared, 0, 16);
      } else {
        std::memcpy(copy->shared, copy->global, 16);
      }
    }
    fiber.copies.erase(fiber.copies.begin(), end);
    fiber.group_sizes.erase(fiber.group_sizes.begin());
  }
}

}  // namespace vrwkv::kernels::device::host
