// SPDX-License-Identifier: Apache-2.0
// What is said about a kernel that does what it must not.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "kernels/device/host_block.h"
#include "kernels/device/host_kernel_name.h"

namespace vrwkv::kernels::device::host {
namespace {

std::string_view file_name(const Site& site) {
  const std::string_view path = site.file_name();
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

std::string describe(const Use& use) {
  return fmt::format("{} ({}:{})", use.word, file_name(use.site), use.site.line());
}

std::string Block::describe_block() const {
  const std::string name = kernel_name(launch_.kernel);
  const Site& site = launch_.blocks.site;
  return fmt::format("{} ({}:{}), block {}", name.empty() ? "a kernel" : name, file_name(site), site.line(),
                     index_);
}

std::string Block::describe_thread(int thread) const {
  return fmt::format("{}, warp {}, lane {}", describe_block(), thread / kLanes, thread % kLanes);
}

void Block::fail(const std::string& what) const {
  throw EmulationError(
      fmt::format("{}, at {}: {}.", describe_thread(current_), describe(threads_[current_].use), what));
}

std::string Block::describe_fault(const void* address) const {
  const auto message = [&](const std::string& what) {
    return fmt::format("{}, after {}: {}.", describe_thread(current_), describe(threads_[current_].use),
                       what);
  };
  if (threads_[current_].fiber->overflows_at(address)) return message("its stack overflows");
  if (!is_near_shared(address)) return message(fmt::format("it touches {}, where nothing is", address));
  return message(fmt::format("it touches byte {} of {} in shared memory",
                             static_cast<const unsigned char*>(address) - shared(), launch_.shared_bytes));
}

/// The threads that wait at the same place for the same thing are named once.
void Block::report_deadlock() const {
  std::string waiting;
  for (std::size_t first = 0, last; first < threads_.size(); first = last) {
    const Thread& thread = threads_[first];
    const auto alike = [&](const Thread& other) {
      return other.finished == thread.finished && other.waits_for == thread.waits_for &&
             other.use.site.line() == thread.use.site.line();
    };
    const auto begin = threads_.begin() + static_cast<std::ptrdiff_t>(first);
    last = static_cast<std::size_t>(std::find_if_not(begin, threads_.end(), alike) - threads_.begin());
    if (thread.finished) continue;
    waiting += fmt::format("{}threads {}..{} (from warp {}) at {}, where {} of {} arrived",
                           waiting.empty() ? "" : "; ", first, last - 1, first / kLanes, describe(thread.use),
                           thread.waits_for->arrived, thread.waits_for->expected);
  }
  throw EmulationError(fmt::format("{}: deadlock: waiting are {}.", describe_block(), waiting));
}

void Block::check_end() const {
  for (int id = 0; id < kNamedBarriers; ++id) {
    const Gate& gate = barriers_[id].gate;
    if (gate.arrived == 0) continue;
    const auto warp = std::find_if(barriers_[id].warps.begin(), barriers_[id].warps.end(),
                                   [](const Barrier::Arrivals& arrivals) { return arrivals.lanes != 0; });
    throw EmulationError(fmt::format(
        "{}: all threads ended, but {} of {} arrived at barrier {}, warp {} at {}.", describe_block(),
        gate.arrived, gate.expected, id, warp - barriers_[id].warps.begin(), describe(warp->use)));
  }
  const auto is_changed = [](unsigned char byte) { return byte != kPoison; };
  if (std::any_of(shared_pages_.begin(), shared(), is_changed) ||
      std::any_of(shared() + launch_.shared_bytes, shared_pages_.end(), is_changed)) {
    throw EmulationError(fmt::format("{}: something was written just outside its {} bytes of shared memory.",
                                     describe_block(), launch_.shared_bytes));
  }
}

}  // namespace vrwkv::kernels::device::host
