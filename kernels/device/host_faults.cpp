// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_faults.h"

#include <array>
#include <cstddef>
#include <mutex>

namespace vrwkv::kernels::device::host {
namespace {

constexpr std::size_t kHandlerStackBytes = 256 * 1024;  // on_fault formats a message
constexpr std::array kSignals = {SIGSEGV, SIGBUS};

thread_local void (*t_on_fault)(const void*) = nullptr;
std::array<struct sigaction, kSignals.size()> g_outer_actions;

void handle(int signal, siginfo_t* info, void* /*context*/) {
  if (t_on_fault != nullptr) t_on_fault(info->si_addr);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (kSignals[i] == signal) sigaction(signal, &g_outer_actions[i], nullptr);
  }
  // Returning repeats the access, now under the outer action.
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  // on_fault leaves the handler by a switch of stacks, so the signal must not stay blocked.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &g_outer_actions[i]);
}

}  // namespace

FaultTrap::FaultTrap(void (*on_fault)(const void*))
    : stack_(kHandlerStackBytes), outer_on_fault_(t_on_fault) {
  static std::once_flag installed;
  std::call_once(installed, install_handler);
  stack_t stack{};
  stack.ss_sp = stack_.begin();
  stack.ss_size = stack_.bytes();
  sigaltstack(&stack, &outer_stack_);
  t_on_fault = on_fault;
}

FaultTrap::~FaultTrap() {
  t_on_fault = outer_on_fault_;
  sigaltstack(&outer_stack_, nullptr);
}

}  // namespace vrwkv::kernels::device::host
