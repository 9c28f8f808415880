// SPDX-License-Identifier: Apache-2.0
#include "common/error.h"
#include "kernels/device/cuda_devices.h"

namespace vrwkv::kernels {

bool built_with_cuda() { return false; }

int cuda_device_count() { return 0; }

void use_cuda_device(int index) {
  throw NotBuiltError("kernels: CUDA device {} was chosen but this build has no CUDA.", index);
}

std::int64_t peak_cuda_bytes(int /*index*/) { return 0; }

}  // namespace vrwkv::kernels
