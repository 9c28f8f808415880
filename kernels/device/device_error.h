// SPDX-License-Identifier: Apache-2.0
// Lets .cu files report errors without seeing fmt, which nvcc need not read.
#pragma once

namespace vrwkv::kernels::device {

/// @throws DeviceError "what: reason".
[[noreturn]] void throw_device_error(const char* what, const char* reason);

}  // namespace vrwkv::kernels::device
