// SPDX-License-Identifier: Apache-2.0
#include "kernels/column_sums/column_sums.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "common/error.h"
#include "kernels/argument_checks.h"
#include "kernels/column_sums/column_sums_backend.h"
#include "kernels/device/current_stream.h"

namespace vrwkv::kernels {

at::Tensor column_sums(const at::Tensor& rows) {
  check_float32("column_sums", "rows", rows);
  if (rows.dim() < 2 || rows.size(0) == 0 || !rows.is_contiguous()) {
    throw ShapeError("column_sums: rows is {} but should be (R, ...), contiguous, with at least one row.",
                     shape_text(rows.sizes()));
  }
  const c10::DeviceGuard device(rows.device());
  at::Tensor sums = at::empty(rows.sizes().slice(1), rows.options());
  if (sums.numel() == 0) return sums;
  const auto* from = rows.const_data_ptr<float>();
  if (rows.is_cpu()) {
    cpu::column_sums(from, rows.size(0), sums.numel(), sums.data_ptr<float>());
  } else {
    cuda::column_sums(from, rows.size(0), sums.numel(), sums.data_ptr<float>(),
                      current_stream(rows.device()));
  }
  return sums;
}

}  // namespace vrwkv::kernels
