// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention/map_attention.h"

namespace vrwkv::kernels {

/// map_attention() with all scores of a window at once, in the type of its arguments.
at::Tensor map_attention_reference(const at::Tensor& qkv, const at::Tensor& row_table,
                                   const at::Tensor& column_table, const at::Tensor& outside);

}  // namespace vrwkv::kernels
