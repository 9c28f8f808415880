// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw/adamw_backend.h"
#include "kernels/device/not_built.h"

namespace vrwkv::kernels::cuda {

void adamw(const AdamwCall&, Bf16Rounding, void*) { throw_cuda_not_built("adamw_update"); }

}  // namespace vrwkv::kernels::cuda
