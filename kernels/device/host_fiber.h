// SPDX-License-Identifier: Apache-2.0
// A stack of its own, and the place where code on it stopped.
#pragma once

#include <ucontext.h>

#include <cstddef>

#include "kernels/device/host_pages.h"

namespace vrwkv::kernels::device::host {

class Fiber {
 public:
  /// Stacks of neighbouring numbers end in different sets of the cache.
  explicit Fiber(int number);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next enter() calls `entry`, which must not return, on the empty stack. What was on it is forgotten,
  /// destructors are not run. `portable`: switch by ucontext also where there is something faster.
  void start(void (*entry)(), bool portable);

  /// Goes on where the fiber left, until it leaves again.
  void enter();
  /// Called on the fiber: enter() returns.
  void leave();
  /// As leave(), but the fiber is not entered again before start().
  [[noreturn]] void end();

  /// Whether `address` is where its stack would go on if it were larger.
  bool overflows_at(const void* address) const { return stack_.guards(address); }

 private:
  static void main();
  void switch_out(void** fake_stack);

  const GuardedPages stack_;
  unsigned char* const top_;
  bool portable_ = false;
  void (*entry_)() = nullptr;
  void* inside_ = nullptr;  // stack pointers
  void* outside_ = nullptr;
  ucontext_t inside_context_{};  // the same, where portable_
  ucontext_t outside_context_{};
  // Of who entered; the address sanitizer must be told of every change of stack.
  const void* outer_stack_ = nullptr;
  std::size_t outer_stack_bytes_ = 0;
};

}  // namespace vrwkv::kernels::device::host
