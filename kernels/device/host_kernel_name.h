// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace vrwkv::kernels::device::host {

/// The symbol of a function, from the file that it was loaded from; "" when that does not say it.
std::string kernel_symbol(const void* kernel);

/// "forward_kernel<64>": the same, to be read.
std::string kernel_name(const void* kernel);

}  // namespace vrwkv::kernels::device::host
