// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "kernels/tree_sum/merge.h"

namespace vrwkv::kernels {

/// Adds up `values` as `merges` say: in their order, value[left] += value[right]; `sum` is what value 0 has
/// become then. The same bits as these additions one by one, but every value is read once and nothing but
/// `sum` is written. A GPU takes denormals for zero, as a CPU's threads do that flush them
/// (common/flush_to_zero.h). A NaN stays in its element.
///
/// @param values  at least one; (n) fp32 each, contiguous, one device. They may overlap `sum` only as a
/// whole: one of
///                them may be `sum`.
/// @param merges  whose indices are below values.size().
/// @param sum     (n) fp32, contiguous, the same device.
/// @throws ShapeError when lengths, types, devices or indices do not fit; on a GPU also for more than 3,072
/// summands, and anywhere for a tree that needs more than 64 sums at once.
void tree_sum(const std::vector<at::Tensor>& values, std::span<const Merge> merges, at::Tensor& sum);

}  // namespace vrwkv::kernels
