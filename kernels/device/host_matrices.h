// SPDX-License-Identifier: Apache-2.0
// The matrix words of device.h, for a warp at once.
#pragma once

#include "kernels/device/host_fibers.h"

namespace vrwkv::kernels::device::host {

/// mma_16x8x16: a lane brings d, a, b0, b1 and takes d.
void multiply_matrices(WarpWords& words);
/// load_matrices: a lane brings the address of its row and takes r.
template <bool kTransposed>
void load_matrices(WarpWords& words);
extern template void load_matrices<false>(WarpWords& words);
extern template void load_matrices<true>(WarpWords& words);

}  // namespace vrwkv::kernels::device::host
