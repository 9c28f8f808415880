// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/squared_norm/squared_norm_backend.h"

namespace vrwkv::kernels::cuda {

void squared_norm_blocks(const float*, std::int64_t, double*, void*) {
  throw_cuda_not_built("squared_norm_blocks");
}

}  // namespace vrwkv::kernels::cuda
