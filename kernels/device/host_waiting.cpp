// SPDX-License-Identifier: Apache-2.0
// How the threads of a block wait for one another.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/device/host_block.h"

namespace vrwkv::kernels::device::host {
std::uint32_t Block::lanes_of(int warp) const {
  const int lanes = std::min(launch_.threads - warp * kLanes, kLanes);
  return ~0U >> (kLanes - lanes);
}

void Block::wait(const Gate& gate) {
  thread().waits_for = &gate;
  thread().generation = gate.generation;
  thread().fiber->leave();
  thread().waits_for = nullptr;
}

void Block::arrive(Barrier& barrier, int expected, bool wait_for_others) {
  Gate& gate = barrier.gate;
  Barrier::Arrivals& arrivals = barrier.warps[current_ / kLanes];
  const std::uint32_t lane = 1U << (current_ % kLanes);
  if (gate.arrived > 0 && gate.expected != expected) {
    fail(fmt::format("{} threads are expected where others expect {}", expected, gate.expected));
  }
  if ((arrivals.lanes & lane) != 0) fail("it arrives once more before all others have (one is lost)");
  if (arrivals.lanes == 0) arrivals.use = thread().use;
  check_together(arrivals.use);
  arrivals.lanes |= lane;
  gate.expected = expected;
  if (++gate.arrived < expected) {
    if (wait_for_others) wait(gate);
    return;
  }
  check_whole_warps(barrier);
  for (Barrier::Arrivals& warp : barrier.warps) warp.lanes = 0;
  gate.arrived = 0;
  ++gate.generation;
}

void Block::check_together(const Use& others) const {
  const Use& mine = threads_[current_].use;
  if (mine.site.line() == others.site.line() && std::strcmp(mine.word, others.word) == 0 &&
      std::strcmp(mine.site.file_name(), others.site.file_name()) == 0) {
    return;
  }
  fail(fmt::format("another lane of the warp is at {} (lanes use such words together)", describe(others)));
}

/// A GPU counts warps, not threads.
void Block::check_whole_warps(const Barrier& barrier) const {
  for (std::size_t warp = 0; warp < warps_.size(); ++warp) {
    const std::uint32_t lanes = barrier.warps[warp].lanes;
    if (lanes != 0 && lanes != lanes_of(static_cast<int>(warp))) {
      fail(fmt::format("all {} threads arrived, but of warp {} only {} (a warp arrives as a whole)",
                       barrier.gate.expected, warp, std::popcount(lanes)));
    }
  }
}

void Block::block_barrier() { arrive(barriers_[0], launch_.threads, /*wait_for_others=*/true); }

void Block::named_barrier(int id, int threads, bool wait_for_others) {
  if (id < 1 || id >= kNamedBarriers) fail(fmt::format("there is no barrier {} (ids are 1..15)", id));
  if (threads <= 0 || threads % kLanes != 0 || threads > launch_.threads) {
    fail(fmt::format("barrier {} is to wait for {} threads of {} (whole warps are possible)", id, threads,
                     launch_.threads));
  }
  arrive(barriers_[id], threads, wait_for_others);
}

LaneWords Block::collective(const LaneWords& mine, void (*compute)(WarpWords&)) {
  Warp& warp = warps_[current_ / kLanes];
  if (warp.running_lanes != kLanes) {
    fail(fmt::format("all lanes of the warp have to take part, but only {} run", warp.running_lanes));
  }
  if (warp.gate.arrived == 0) warp.use = thread().use;
  check_together(warp.use);
  LaneWords& words = warp.words[current_ % kLanes];
  words = mine;
  if (++warp.gate.arrived < kLanes) {
    wait(warp.gate);
    return words;
  }
  if (compute != nullptr) compute(warp.words);
  warp.gate.arrived = 0;
  ++warp.gate.generation;
  return words;
}

}  // namespace vrwkv::kernels::device::host
