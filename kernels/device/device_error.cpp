// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/device_error.h"

#include "common/error.h"

namespace vrwkv::kernels::device {

void throw_device_error(const char* what, const char* reason) { throw DeviceError("{}: {}.", what, reason); }

}  // namespace vrwkv::kernels::device
