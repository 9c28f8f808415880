// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

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
      ++epoch_;
    }
    std::int64_t peak() const {
      const std::lock_guard lock(mutex_);
      return peak_;
    }
    c10::DataPtr allocate(std::size_t bytes) override {
      c10::DataPtr memory = c10::GetDefaultCPUAllocator()->allocate(bytes);
      void* const data = memory.get();
      const std::lock_guard lock(mutex_);
      held_ += static_cast<std::int64_t>(bytes);
      peak_ = std::max(peak_, held_);
      return {data, new Block{std::move(memory), static_cast<std::int64_t>(bytes), epoch_}, &release,
              c10::Device(c10::kCPU)};
    }
    void copy_data(void* to, const void* from, std::size_t bytes) const override {
      default_copy_data(to, from, bytes);
    }

   private:
    struct Block {
      c10::DataPtr memory;
      std::int64_t bytes;
      int epoch;  // a block that outlives its count is no part of the next one
    };
    static void release(void* context) {
      auto* const block = static_cast<Block*>(context);
      {
        const std::lock_guard lock(counter().mutex_);
        if (block->epoch == counter().epoch_) counter().held_ -= block->bytes;
      }
      delete block;
    }

    mutable std::mutex mutex_;
    std::int64_t held_ = 0;
    std::int64_t peak_ = 0;
    int epoch_ = 0;
  };

  /// Never destroyed: tensors may outlive everything.
  static Counter& counter() {
    static auto* const counter = new Counter;
    return *counter;
  }
};

}  // namespace vrwkv::test
