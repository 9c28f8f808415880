// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// Adds the rows of a matrix: what remains to be done of a sum over tokens when every tile of tokens has
/// written its part as a row.
///
/// @param rows  (R, ...), contiguous fp32.
/// @return      (...): element by element the sum over R, in fp32. The order depends on R alone, so that the
///              same rows give the same bits for any number of threads. A NaN stays in its column.
/// @throws ShapeError, NotBuiltError on CUDA tensors in a build without CUDA, DeviceError.
at::Tensor column_sums(const at::Tensor& rows);

}  // namespace vrwkv::kernels
