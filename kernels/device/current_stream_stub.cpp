// SPDX-License-Identifier: Apache-2.0
#include "common/error.h"
#include "kernels/device/current_stream.h"

namespace vrwkv::kernels {

void* current_stream(c10::Device device) {
  throw NotBuiltError(
      "kernels: a tensor is on {} but this build has no CUDA. Configure with -DVRWKV_WITH_CUDA=ON, or keep "
      "tensors on the "
      "CPU.",
      device.str());
}

}  // namespace vrwkv::kernels
