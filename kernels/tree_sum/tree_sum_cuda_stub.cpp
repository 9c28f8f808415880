// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/not_built.h"
#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::kernels::cuda {

void tree_sum(const TreeSum&, void*) { throw_cuda_not_built("tree_sum"); }

}  // namespace vrwkv::kernels::cuda
