// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/squared_norm/squared_norm.h"

namespace vrwkv::kernels {

/// squared_norm_blocks(), one element after the other.
at::Tensor squared_norm_blocks_reference(const at::Tensor& flat);

}  // namespace vrwkv::kernels
