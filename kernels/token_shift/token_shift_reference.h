// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// token_shift() token by token, in operations that autograd differentiates. Same arguments, same values.
at::Tensor token_shift_reference(const at::Tensor& x, const at::Tensor& sequence_starts,
                                 const at::Tensor& previous = {});

}  // namespace vrwkv::kernels
