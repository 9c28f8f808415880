// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/tree_sum/tree_sum.h"

namespace vrwkv::kernels {

/// tree_sum() with one addition after the other.
at::Tensor tree_sum_reference(const std::vector<at::Tensor>& values, std::span<const Merge> merges);

}  // namespace vrwkv::kernels
