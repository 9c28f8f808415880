// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace vrwkv::kernels::device::host {

/// "forward_kernel<64>" for the address of that function, from the symbols of the file that it was loaded
/// from; "" when they say nothing about it.
std::string kernel_name(const void* kernel);

}  // namespace vrwkv::kernels::device::host
