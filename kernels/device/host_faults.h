// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include "kernels/device/host_pages.h"

namespace vrwkv::kernels::device::host {

/// While it lives, an access of this thread to memory that is not there calls `on_fault` with the address, on
/// a stack of its own. When that returns, the process ends as it would have.
class FaultTrap {
 public:
  explicit FaultTrap(void (*on_fault)(const void* address));
  ~FaultTrap();
  FaultTrap(const FaultTrap&) = delete;
  FaultTrap& operator=(const FaultTrap&) = delete;

 private:
  const GuardedPages stack_;
  stack_t outer_stack_{};
  void (*outer_on_fault_)(const void*);
};

}  // namespace vrwkv::kernels::device::host
