// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/logit_rows_backend.h"
#include "kernels/device/not_built.h"

namespace vrwkv::kernels::cuda {

void merge_statistics(const LogitRows&, const float*, float*, void*) {
  throw_cuda_not_built("head_cross_entropy");
}

void logits_to_gradient(const LogitRows&, float, const float*, float*, void*) {
  throw_cuda_not_built("head_cross_entropy");
}

void logits_to_gradient(const LogitRows&, float, const float*, Bf16*, void*) {
  throw_cuda_not_built("head_cross_entropy");
}

}  // namespace vrwkv::kernels::cuda
