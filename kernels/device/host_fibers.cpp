// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_fibers.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/device/host_block.h"
#include "kernels/device/host_faults.h"
#include "kernels/device/host_launch_log.h"
#include "kernels/device/host_limits.h"

namespace vrwkv::kernels::device::host {
namespace {

constexpr int kMostThreads = 1024;

thread_local Schedule t_schedule;

/// The running block, with its running thread at `word`.
Block& at(const char* word, const Site& site) {
  Block& block = Block::running();
  block.thread().use = {word, site};
  return block;
}

void land(const Copy& copy) {
  if (copy.global == nullptr) {
    std::memset(copy.shared, 0, 16);
  } else {
    std::memcpy(copy.shared, copy.global, 16);
  }
}

void check_aligned(const Block& block, const void* address) {
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) {
    block.fail(fmt::format("{} is not on a 16-byte boundary", address));
  }
}

}  // namespace

void set_schedule(const Schedule& schedule) { t_schedule = schedule; }

void run_blocks(const void* kernel, const Blocks& blocks, int threads, std::size_t shared_bytes,
                const std::function<void()>& body) {
  if (blocks.count < 1 || blocks.count > std::numeric_limits<int>::max() || threads < 1 ||
      threads > kMostThreads || shared_bytes > shared_memory_limit()) {
    throw EmulationError(
        fmt::format("{} blocks of {} threads with {} bytes of shared memory: no GPU does this.", blocks.count,
                    threads, shared_bytes));
  }
  log_launch(blocks.site.file_name(), kernel, shared_bytes);
  const Launch launch{kernel, blocks, threads, shared_bytes, body, t_schedule};
  const FaultTrap trap(&Block::fault);
  Block block(launch);
  const int count = static_cast<int>(blocks.count);
  for (int i = 0; i < count; ++i) block.run(t_schedule.reverse_blocks ? count - 1 - i : i);
}

int thread_index() { return Block::running().current(); }
int block_index() { return Block::running().index(); }
int block_count() { return static_cast<int>(Block::running().launch().blocks.count); }
void* shared_memory() { return Block::running().shared(); }

void block_barrier(Site site) { at("block_barrier", site).block_barrier(); }
void named_barrier_sync(int id, int threads, Site site) {
  at("named_barrier_sync", site).named_barrier(id, threads, /*wait_for_others=*/true);
}
void named_barrier_arrive(int id, int threads, Site site) {
  at("named_barrier_arrive", site).named_barrier(id, threads, /*wait_for_others=*/false);
}
void warp_barrier(Site site) { at("warp_barrier", site).collective({}, nullptr); }

LaneWords collective(const char* word, const LaneWords& mine, void (*compute)(WarpWords&), Site site) {
  return at(word, site).collective(mine, compute);
}

void check_16_bytes(const char* word, const void* address, Site site) {
  const Block& block = at(word, site);
  check_aligned(block, address);
  if (block.is_near_shared(address)) check_16_shared_bytes(word, address, site);
}

void check_16_shared_bytes(const char* word, const void* address, Site site) {
  const Block& block = at(word, site);
  check_aligned(block, address);
  if (block.is_shared(address, 16)) return;
  block.fail(fmt::format("byte {} is not one of the {} bytes of shared memory",
                         static_cast<const unsigned char*>(address) - block.shared(),
                         block.launch().shared_bytes));
}

void copy_async_16(void* shared, const void* global, bool valid, Site site) {
  check_16_shared_bytes("copy_async_16", shared, site);
  Block& block = at("copy_async_16", site);
  check_aligned(block, global);
  const Copy copy{shared, valid ? global : nullptr};
  if (block.launch().schedule.copies_land_at_once) return land(copy);
  block.thread().copies.push_back(copy);
}

void copy_async_commit(Site site) {
  Thread& thread = at("copy_async_commit", site).thread();
  const std::size_t committed = std::accumulate(thread.group_sizes.begin(), thread.group_sizes.end(), 0UL);
  thread.group_sizes.push_back(thread.copies.size() - committed);
}

void copy_async_wait(int youngest, Site site) {
  Thread& thread = at("copy_async_wait", site).thread();
  while (thread.group_sizes.size() > static_cast<std::size_t>(youngest)) {
    const auto end = thread.copies.begin() + static_cast<std::ptrdiff_t>(thread.group_sizes.front());
    std::for_each(thread.copies.begin(), end, land);
    thread.copies.erase(thread.copies.begin(), end);
    thread.group_sizes.erase(thread.group_sizes.begin());
  }
}

}  // namespace vrwkv::kernels::device::host
