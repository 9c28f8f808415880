// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace vrwkv::kernels {

/// Attention over the places of a map, inside windows, with decomposed relative positions, as the image
/// encoder of "Segment Anything" has it; no matrix of scores is held. For a query at (y, x) and a key at (y',
/// x') of its window
///
///     score = q . k / sqrt(N) + q . row_table[y - y' + WR - 1] + q . column_table[x - x' + WC - 1]
///     out   = sum over the window's places of softmax(score) v
///
/// Windows of WR rows and WC columns are laid from the top left corner; one as large as the map is attention
/// over all of it. Where a window reaches beyond the map its places still are keys: `outside` stands there.
///
/// Forward only, because the encoders that need it are frozen. On a CPU its own kernel, in fp32 for all types
/// up to it: the same bits for every number of threads. Otherwise LibTorch's fused attention over widened
/// channels.
///
/// @param qkv           (I, rows, columns, 3, H, N): queries, keys and values of each place; I may be 0.
/// @param row_table     (2 WR - 1, N), and column_table (2 WC - 1, N).
/// @param outside       (3, H, N).
/// @return              (I, rows, columns, H, N), contiguous. A NaN in a query gives NaN there, in a key in
///                      all of its head and window, in a value in that channel of them, in a table where it
///                      is read.
/// All four of one floating-point type, on one device, contiguous.
/// @throws ShapeError when sizes, types or devices do not fit, or an input's gradient would be recorded.
at::Tensor map_attention(const at::Tensor& qkv, const at::Tensor& row_table, const at::Tensor& column_table,
                         const at::Tensor& outside);

}  // namespace vrwkv::kernels
