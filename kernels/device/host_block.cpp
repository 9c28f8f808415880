// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace vrwkv::kernels::device::host {
namespace {

constexpr std::size_t kSharedAlignment = 128;

thread_local Block* t_running = nullptr;

/// The fibers of this CPU thread, kept from one launch to the next.
Fiber& fiber(int number) {
  thread_local std::vector<std::unique_ptr<Fiber>> fibers;
  while (fibers.size() <= static_cast<std::size_t>(number)) {
    fibers.push_back(std::make_unique<Fiber>(static_cast<int>(fibers.size())));
  }
  return *fibers[number];
}

}  // namespace

Block& Block::running() { return *t_running; }

Block::Block(const Launch& launch)
    : launch_(launch),
      random_(launch.schedule.seed),
      threads_(launch.threads),
      warps_((launch.threads + kLanes - 1) / kLanes),
      aligned_shared_bytes_((launch.shared_bytes + kSharedAlignment - 1) / kSharedAlignment *
                            kSharedAlignment),
      shared_pages_(launch.shared_bytes) {
  for (int i = 0; i < launch.threads; ++i) threads_[i].fiber = &fiber(i);
}

void Block::start_threads() {
  barriers_.fill({});
  std::fill(warps_.begin(), warps_.end(), Warp{});
  for (int i = 0; i < launch_.threads; ++i) {
    threads_[i] = Thread{.fiber = threads_[i].fiber, .use = {"launch", launch_.blocks.site}};
    threads_[i].fiber->start(&Block::thread_main, launch_.schedule.switch_by_ucontext);
    ++warps_[i / kLanes].running_lanes;
  }
}

void Block::run(int index) {
  index_ = index;
  std::memset(shared_pages_.begin(), kPoison, shared_pages_.bytes());
  start_threads();
  std::vector<int> order(warps_.size());
  std::iota(order.begin(), order.end(), 0);
  if (launch_.schedule.warps == WarpOrder::kDescending) std::reverse(order.begin(), order.end());
  while (
      !std::all_of(threads_.begin(), threads_.end(), [](const Thread& thread) { return thread.finished; })) {
    if (launch_.schedule.warps == WarpOrder::kShuffled) std::shuffle(order.begin(), order.end(), random_);
    const bool moved = run_one_warp(order);
    if (error_) std::rethrow_exception(error_);
    if (!moved) report_deadlock();
  }
  check_end();
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
  const int last = std::min(first + kLanes, launch_.threads) - 1;
  bool moved = false;
  for (int lane = 0; first + lane <= last && !error_; ++lane) {
    const int thread = launch_.schedule.reverse_lanes ? last - lane : first + lane;
    if (!threads_[thread].can_run()) continue;
    enter(thread);
    moved = true;
  }
  return moved;
}

void Block::enter(int thread) {
  current_ = thread;
  t_running = this;
  threads_[thread].fiber->enter();
  t_running = nullptr;
  if (threads_[thread].finished) --warps_[thread / kLanes].running_lanes;
}

void Block::thread_main() {
  try {
    t_running->launch_.body();
  } catch (...) {
    t_running->error_ = std::current_exception();  // run() throws it again, on its own stack
  }
  t_running->end_thread();
}

void Block::end_thread() {
  thread().finished = true;
  thread().fiber->end();
}

void Block::fault(const void* address) {
  if (t_running == nullptr) return;
  t_running->error_ = std::make_exception_ptr(EmulationError(t_running->describe_fault(address)));
  t_running->end_thread();
}

bool Block::is_shared(const void* at, std::size_t bytes) const {
  const auto* byte = static_cast<const unsigned char*>(at);
  return byte >= shared() && byte + bytes <= shared() + launch_.shared_bytes;
}

bool Block::is_near_shared(const void* at) const {
  const auto* byte = static_cast<const unsigned char*>(at);
  return shared_pages_.guards(at) || (byte >= shared_pages_.begin() && byte < shared_pages_.end());
}

}  // namespace vrwkv::kernels::device::host
