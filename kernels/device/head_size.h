// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/device/device_error.h"

namespace vrwkv::kernels::device {

/// Calls run with the head size as a compile-time constant.
/// @throws DeviceError when it is not one of those that kernels are compiled for.
template <class Run>
void with_head_size(const char* where, std::int64_t head_size, const Run& run) {
  switch (head_size) {
    case 32:
      return run(std::integral_constant<int, 32>{});
    case 64:
      return run(std::integral_constant<int, 64>{});
    case 128:
      return run(std::integral_constant<int, 128>{});
    default:
      throw_device_error(where, "on CUDA the head size is 32, 64 or 128");
  }
}

}  // namespace vrwkv::kernels::device
