// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_fiber.h"

#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Pushes what a function must keep, stores the stack pointer at `from`, and goes on where `to` was stored.
extern "C" void vrwkv_switch_stack(void** from, void* to);
asm(R"(
.text
.hidden vrwkv_switch_stack
.globl vrwkv_switch_stack
.type vrwkv_switch_stack, @function
vrwkv_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size vrwkv_switch_stack, .-vrwkv_switch_stack
)");
constexpr bool kHasFastSwitch = true;
#else
constexpr bool kHasFastSwitch = false;
void vrwkv_switch_stack(void** /*from*/, void* /*to*/) { std::abort(); }
#endif

namespace vrwkv::kernels::device::host {
namespace {

// Much more than a kernel needs, for unoptimised and instrumented builds; what is not touched costs nothing.
constexpr std::size_t kStackBytes = 256 * 1024;
constexpr std::size_t kCacheLine = 64;
constexpr int kStaggers = 64;

thread_local Fiber* t_entered = nullptr;

#if defined(__SANITIZE_ADDRESS__)
void tell_leaving(void** fake_stack, const void* to, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, to, bytes);
}
void tell_arrived(void* fake_stack, const void** from, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, from, bytes);
}
void forget_frames(const GuardedPages& stack) { __asan_unpoison_memory_region(stack.begin(), stack.bytes()); }
#else
void tell_leaving(void** /*fake_stack*/, const void* /*to*/, std::size_t /*bytes*/) {}
void tell_arrived(void* /*fake_stack*/, const void** /*from*/, std::size_t* /*bytes*/) {}
void forget_frames(const GuardedPages& /*stack*/) {}
#endif

}  // namespace

Fiber::Fiber(int number)
    : stack_(kStackBytes), top_(stack_.end() - static_cast<std::size_t>(number % kStaggers) * kCacheLine) {}

void Fiber::main() {
  Fiber& fiber = *t_entered;
  tell_arrived(nullptr, &fiber.outer_stack_, &fiber.outer_stack_bytes_);
  fiber.entry_();
  std::abort();
}

void Fiber::start(void (*entry)(), bool portable) {
  forget_frames(stack_);
  entry_ = entry;
  portable_ = portable || !kHasFastSwitch;
  if (portable_) {
    getcontext(&inside_context_);
    inside_context_.uc_stack.ss_sp = stack_.begin();
    inside_context_.uc_stack.ss_size = static_cast<std::size_t>(top_ - stack_.begin());
    makecontext(&inside_context_, &Fiber::main, 0);
    return;
  }
  // What the switch pops: six registers and where to go on; above it, the return address of that.
  void* frame[8] = {};
  void (*const begin)() = &Fiber::main;
  std::memcpy(&frame[6], &begin, sizeof begin);
  inside_ = top_ - sizeof frame;
  std::memcpy(inside_, frame, sizeof frame);
}

void Fiber::enter() {
  t_entered = this;
  void* fake_stack = nullptr;
  tell_leaving(&fake_stack, stack_.begin(), stack_.bytes());
  if (portable_) {
    swapcontext(&outside_context_, &inside_context_);
  } else {
    vrwkv_switch_stack(&outside_, inside_);
  }
  tell_arrived(fake_stack, nullptr, nullptr);
}

void Fiber::leave() {
  void* fake_stack = nullptr;
  switch_out(&fake_stack);
  tell_arrived(fake_stack, &outer_stack_, &outer_stack_bytes_);
}

void Fiber::end() {
  switch_out(nullptr);
  std::abort();
}

void Fiber::switch_out(void** fake_stack) {
  tell_leaving(fake_stack, outer_stack_, outer_stack_bytes_);
  if (portable_) {
    swapcontext(&inside_context_, &outside_context_);
  } else {
    vrwkv_switch_stack(&inside_, outside_);
  }
}

}  // namespace vrwkv::kernels::device::host
