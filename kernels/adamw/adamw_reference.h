// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/adamw/adamw.h"

namespace vrwkv::kernels {

/// adamw_update() in fp64, one element at a time, as its equations are written. All tensors (n) fp64.
void adamw_update_reference(at::Tensor& master, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                            const at::Tensor& gradient, double gradient_scale, const AdamwStep& step);

}  // namespace vrwkv::kernels
