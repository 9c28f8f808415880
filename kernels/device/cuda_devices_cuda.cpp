// SPDX-License-Identifier: Apache-2.0
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>

#include "kernels/device/cuda_devices.h"

namespace vrwkv::kernels {

bool built_with_cuda() { return true; }

int cuda_device_count() { return c10::cuda::device_count(); }

void use_cuda_device(int index) { c10::cuda::set_device(static_cast<c10::DeviceIndex>(index)); }

std::int64_t peak_cuda_bytes(int index) {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(index));
  return stats.reserved_bytes[0].peak;  // of the aggregate over all kinds of pools
}

}  // namespace vrwkv::kernels
