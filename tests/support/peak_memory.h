// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace vrwkv::test {

/// While it lives, it counts the memory that LibTorch hands out on the CPU, on every thread: tensors, and
/// what kernels take as at::empty(). Not what a library of matrix products keeps for itself. One at a time.
class PeakMemory {
 public:
  PeakMemory() {
    counter().begin();
    c10::SetCPUAllocator(&counter());
  }
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;
  ~PeakMemory() { c10::SetCPUAllocator(c10::GetDefaultCPUAllocator()); }

  /// The most bytes held at once so far, of those taken since construction.
  std::int64_t bytes() const { return counter().peak(); }

 private:
  class Counter final : public c10::Allocator {
   public:
    void begin() {
      const std::lock_guard lock(mutex_);
      peak_ = held_ = 0;
      sizes_.clear();
    }
    std::int64_t peak() const {
      const std::lock_guard lock(mutex_);
      return peak_;
    }
    c10::DataPtr allocate(std::size_t bytes) override {
      void* const data = c10::GetDefaultCPUAllocator()->raw_allocate(bytes);
      const std::lock_guard lock(mutex_);
      sizes_[data] = static_cast<std::int64_t>(bytes);
      held_ += static_cast<std::int64_t>(bytes);
      peak_ = std::max(peak_, held_);
      return {data, data, &release, c10::Device(c10::kCPU)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return &release; }
    void copy_data(void* to, const void* from, std::size_t bytes) const override {
      default_copy_data(to, from, bytes);
    }

   private:
    static void release(void* data) {
      counter().forget(data);
      c10::GetDefaultCPUAllocator()->raw_deallocate(data);
    }
    /// A block that outlives its count is no part of the next one.
    void forget(void* data) {
      const std::lock_guard lock(mutex_);
      const auto block = sizes_.find(data);
      if (block == sizes_.end()) return;
      held_ -= block->second;
      sizes_.erase(block);
    }

    mutable std::mutex mutex_;
    std::unordered_map<void*, std::int64_t> sizes_;
    std::int64_t held_ = 0;
    std::int64_t peak_ = 0;
  };

  /// Never destroyed: tensors may outlive everything.
  static Counter& counter() {
    static auto* const counter = new Counter;
    return *counter;
  }
};

}  // namespace vrwkv::test
