// SPDX-License-Identifier: Apache-2.0
#include "common/error.h"
#include "kernels/column_sums/column_sums_backend.h"

namespace vrwkv::kernels::cuda {

void column_sums(const float*, std::int64_t, std::int64_t, float*, void*) {
  throw NotBuiltError(
      "column_sums: this build has no CUDA kernels. Configure with -DVRWKV_WITH_CUDA=ON, or keep tensors on "
      "the CPU.");
}

}  // namespace vrwkv::kernels::cuda
