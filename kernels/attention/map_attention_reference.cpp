// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/map_attention_reference.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

namespace vrwkv::kernels {
namespace {

/// (extent, extent, N): what a query at place i meets at a key at place j.
at::Tensor entries(const at::Tensor& table) {
  const std::int64_t extent = (table.size(0) + 1) / 2;
  std::vector<at::Tensor> by_query;
  for (std::int64_t i = 0; i < extent; ++i) by_query.push_back(table.slice(0, i, i + extent).flip(0));
  return at::stack(by_query);
}

/// qkv (window rows, window columns, 3, H, N) -> (window rows, window columns, H, N). In the indices of the
/// sums the query is at (y, x), the key at (a, b).
at::Tensor window_attention(const at::Tensor& qkv, const at::Tensor& row_table,
                            const at::Tensor& column_table) {
  const auto vectors = qkv.unbind(2);
  const double scale = 1 / std::sqrt(static_cast<double>(qkv.size(4)));
  const at::Tensor content = at::einsum("yxhn,abhn->hyxab", {vectors[0], vectors[1]}) * scale;
  const at::Tensor row_terms = at::einsum("yxhn,yan->hyxa", {vectors[0], entries(row_table)});
  const at::Tensor column_terms = at::einsum("yxhn,xbn->hyxb", {vectors[0], entries(column_table)});
  const at::Tensor scores = content + row_terms.unsqueeze(4) + column_terms.unsqueeze(3);
  const at::Tensor weights = at::softmax(scores.flatten(3), 3).view_as(scores);
  return at::einsum("hyxab,abhn->yxhn", {weights, vectors[2]});
}

}  // namespace

at::Tensor map_attention_reference(const at::Tensor& qkv, const at::Tensor& row_table,
                                   const at::Tensor& column_table, const at::Tensor& outside) {
  const std::int64_t rows = (row_table.size(0) + 1) / 2;
  const std::int64_t columns = (column_table.size(0) + 1) / 2;
  at::Tensor out =
      at::empty({qkv.size(0), qkv.size(1), qkv.size(2), qkv.size(4), qkv.size(5)}, qkv.options());
  for (std::int64_t image = 0; image < qkv.size(0); ++image) {
    for (std::int64_t top = 0; top < qkv.size(1); top += rows) {
      for (std::int64_t left = 0; left < qkv.size(2); left += columns) {
        const auto inside = [&](const at::Tensor& map) {
          return map[image].slice(0, top, top + rows).slice(1, left, left + columns);
        };
        at::Tensor window = outside.expand({rows, columns, -1, -1, -1}).clone();
        const at::Tensor given = inside(qkv);
        window.narrow(0, 0, given.size(0)).narrow(1, 0, given.size(1)).copy_(given);
        const at::Tensor all = window_attention(window, row_table, column_table);
        inside(out).copy_(all.narrow(0, 0, given.size(0)).narrow(1, 0, given.size(1)));
      }
    }
  }
  return out;
}

}  // namespace vrwkv::kernels
