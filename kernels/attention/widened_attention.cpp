// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/widened_attention.h"

#include <ATen/ATen.h>

#include <cmath>

namespace vrwkv::kernels {
namespace {

std::int64_t extent(const at::Tensor& table) { return (table.size(0) + 1) / 2; }

/// (extent, extent, N): row i, column j holds the table's entry for the offset i - j.
at::Tensor by_offset(const at::Tensor& table) {
  const at::Tensor place = at::arange(extent(table), table.options().dtype(at::kLong));
  return table.index({place.unsqueeze(1) - place.unsqueeze(0) + (extent(table) - 1)});
}

/// A key's position terms depend on its row or column alone, so they fold into the product of queries and
/// keys: q' = [q / sqrt(N), q . entry for each row, the same for each column], k' = [k, one-hot row, one-hot
/// column]. Values are padded with zeros, because the fused kernel wants one width for all.
/// @param qkv  (W, window rows, window columns, 3, H, N).
at::Tensor attention_of_windows(const at::Tensor& qkv, const at::Tensor& row_table,
                                const at::Tensor& column_table) {
  const std::int64_t windows = qkv.size(0), rows = qkv.size(1), columns = qkv.size(2), heads = qkv.size(4);
  const std::int64_t head_size = qkv.size(5), places = rows * columns;
  const at::Tensor q_map = qkv.select(3, 0);
  const at::Tensor row_terms = at::einsum("wyxhn,ykn->whyxk", {q_map, by_offset(row_table)}).flatten(2, 3);
  const at::Tensor column_terms =
      at::einsum("wyxhn,xkn->whyxk", {q_map, by_offset(column_table)}).flatten(2, 3);
  const auto one_hot = [&](const at::Tensor& units) { return units.expand({windows, heads, places, -1}); };
  const at::Tensor key_rows = one_hot(at::eye(rows, qkv.options()).repeat_interleave(columns, 0));
  const at::Tensor key_columns = one_hot(at::eye(columns, qkv.options()).repeat({rows, 1}));
  const at::Tensor by_head = qkv.flatten(1, 2).permute({2, 0, 3, 1, 4});
  const double scale = 1 / std::sqrt(static_cast<double>(head_size));
  const at::Tensor y = at::scaled_dot_product_attention(
      at::cat({by_head[0] * scale, row_terms, column_terms}, -1),
      at::cat({by_head[1], key_rows, key_columns}, -1), at::constant_pad_nd(by_head[2], {0, rows + columns}),
      /*attn_mask=*/{}, /*dropout_p=*/0.0,
      /*is_causal=*/false, /*scale=*/1.0);
  return y.narrow(-1, 0, head_size).transpose(1, 2).reshape({windows, rows, columns, heads, head_size});
}

}  // namespace

at::Tensor widened_attention(const at::Tensor& qkv, const at::Tensor& row_table,
                             const at::Tensor& column_table, const at::Tensor& outside) {
  const std::int64_t images = qkv.size(0), heads = qkv.size(4), head_size = qkv.size(5);
  const std::int64_t window_rows = extent(row_table), window_columns = extent(column_table);
  const std::int64_t down = (qkv.size(1) + window_rows - 1) / window_rows;
  const std::int64_t across = (qkv.size(2) + window_columns - 1) / window_columns;
  at::Tensor padded = outside.expand({images, down * window_rows, across * window_columns, -1, -1, -1});
  if (padded.sizes() == qkv.sizes()) {
    padded = qkv;
  } else {
    padded = padded.contiguous();
    padded.narrow(1, 0, qkv.size(1)).narrow(2, 0, qkv.size(2)).copy_(qkv);
  }
  const at::Tensor windows =
      padded.view({images, down, window_rows, across, window_columns, 3, heads, head_size})
          .transpose(2, 3)
          .reshape({images * down * across, window_rows, window_columns, 3, heads, head_size});
  return attention_of_windows(windows, row_table, column_table)
      .view({images, down, across, window_rows, window_columns, heads, head_size})
      .transpose(2, 3)
      .reshape({images, down * window_rows, across * window_columns, heads, head_size})
      .narrow(1, 0, qkv.size(1))
      .narrow(2, 0, qkv.size(2))
      .contiguous();
}

}  // namespace vrwkv::kernels
