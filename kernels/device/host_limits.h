// SPDX-License-Identifier: Apache-2.0
// What the emulated device has.
#pragma once

#include <cstddef>

namespace vrwkv::kernels::device::host {

/// Bytes that a block may have, for the launches of this CPU thread; a test may set it.
inline std::size_t& shared_memory_limit() {
  thread_local std::size_t bytes = 227 * 1024;
  return bytes;
}

}  // namespace vrwkv::kernels::device::host
