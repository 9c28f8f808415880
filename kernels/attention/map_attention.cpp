// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/map_attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/error.h"
#include "kernels/argument_checks.h"
#include "kernels/attention/map_attention_backend.h"
#include "kernels/attention/widened_attention.h"
#include "kernels/record_call.h"

namespace vrwkv::kernels {
namespace {

constexpr const char* kWhere = "map_attention";

void check_like(const char* name, const at::Tensor& tensor, const at::Tensor& qkv) {
  check_present(kWhere, name, tensor);
  if (tensor.scalar_type() != qkv.scalar_type() || tensor.device() != qkv.device() ||
      !tensor.is_contiguous()) {
    throw ShapeError("{}: {} should be contiguous {} on {}, as qkv is.", kWhere, name,
                     c10::toString(qkv.scalar_type()), qkv.device().str());
  }
  if (tensor.requires_grad() && at::GradMode::is_enabled()) {
    throw ShapeError("{}: {} requires a gradient (there is only a forward). Call it without gradients.",
                     kWhere, name);
  }
}

void check_table(const char* name, const at::Tensor& table, const at::Tensor& qkv) {
  check_like(name, table, qkv);
  if (table.dim() != 2 || table.size(0) % 2 == 0 || table.size(1) != qkv.size(5)) {
    throw ShapeError("{}: {} is {} but should be (2 extent - 1, {}) (one entry for each offset).", kWhere,
                     name, shape_text(table.sizes()), qkv.size(5));
  }
}

void check_arguments(const at::Tensor& qkv, const at::Tensor& row_table, const at::Tensor& column_table,
                     const at::Tensor& outside) {
  check_present(kWhere, "qkv", qkv);
  const bool is_map = qkv.is_floating_point() && qkv.dim() == 6 && qkv.size(3) == 3 &&
                      c10::multiply_integers(qkv.sizes().slice(1)) > 0;
  if (!is_map) {
    throw ShapeError("{}: qkv is {} but should be (I, rows, columns, 3, H, N) of a floating-point type.",
                     kWhere, shape_text(qkv.sizes()));
  }
  check_like("qkv", qkv, qkv);
  check_table("row_table", row_table, qkv);
  check_table("column_table", column_table, qkv);
  check_like("outside", outside, qkv);
  check_shape(kWhere, "outside", outside, qkv.sizes().slice(3), "one place");
}

std::int64_t extent(const at::Tensor& table) { return (table.size(0) + 1) / 2; }

at::Tensor by_kernel(const at::Tensor& qkv, const at::Tensor& row_table, const at::Tensor& column_table,
                     const at::Tensor& outside) {
  at::Tensor out =
      at::empty({qkv.size(0), qkv.size(1), qkv.size(2), qkv.size(4), qkv.size(5)}, qkv.options());
  cpu::map_attention({.images = qkv.size(0),
                      .rows = qkv.size(1),
                      .columns = qkv.size(2),
                      .heads = qkv.size(4),
                      .head_size = qkv.size(5),
                      .window_rows = extent(row_table),
                      .window_columns = extent(column_table),
                      .qkv = qkv.const_data_ptr<float>(),
                      .row_table = row_table.const_data_ptr<float>(),
                      .column_table = column_table.const_data_ptr<float>(),
                      .outside = outside.const_data_ptr<float>(),
                      .out = out.data_ptr<float>()});
  return out;
}

at::Tensor attend(const at::Tensor& qkv, const at::Tensor& row_table, const at::Tensor& column_table,
                  const at::Tensor& outside) {
  const at::ScalarType type = qkv.scalar_type();
  if (!qkv.is_cpu() || type == at::kDouble) return widened_attention(qkv, row_table, column_table, outside);
  const auto wide = [](const at::Tensor& x) { return x.to(at::kFloat); };
  return by_kernel(wide(qkv), wide(row_table), wide(column_table), wide(outside)).to(type);
}

}  // namespace

at::Tensor map_attention(const at::Tensor& qkv, const at::Tensor& row_table, const at::Tensor& column_table,
                         const at::Tensor& outside) {
  check_arguments(qkv, row_table, column_table, outside);
  const at::NoGradGuard no_gradients;
  RecordCall record("vrwkv::map_attention", {qkv, row_table, column_table, outside});
  at::Tensor out = attend(qkv, row_table, column_table, outside);
  record.set_outputs({out});
  return out;
}

}  // namespace vrwkv::kernels
