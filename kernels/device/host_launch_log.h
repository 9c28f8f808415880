// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace vrwkv::kernels::device::host {

/// Where the environment's VRWKV_LAUNCH_LOG names a file: notes there, a line for each different launch of
/// this process, the source file, the kernel's symbol and its bytes of shared memory.
/// tests/kernels/launch_budgets.py compares them with what the kernels may use.
void log_launch(const char* source, const void* kernel, std::size_t shared_bytes);

}  // namespace vrwkv::kernels::device::host
