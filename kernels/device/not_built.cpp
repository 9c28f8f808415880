// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"

#include "common/error.h"

namespace vrwkv::kernels {

void throw_cuda_not_built(const char* where) {
  throw NotBuiltError(
      "{}: this build has no CUDA kernels. Configure with -DVRWKV_WITH_CUDA=ON, or keep tensors on the CPU.",
      where);
}

}  // namespace vrwkv::kernels
