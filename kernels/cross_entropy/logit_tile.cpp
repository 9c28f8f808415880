// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/logit_tile.h"

#include <algorithm>

#include "kernels/fp32_product/bf16_product_cpu.h"

namespace vrwkv::kernels {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{56} << 20;
constexpr std::int64_t kFloat = sizeof(float), kHalf = 2;
constexpr std::int64_t kFewestRows = 64;  // of a CPU's products that are worth it
constexpr std::int64_t kGpuColumns = 4096;
constexpr std::int64_t kThreads = 32;  // for whose panels of a product of bf16 there is room in 64 MB

}  // namespace

LogitProducts logit_products(at::ScalarType type, at::DeviceType device) {
  if (type != at::kBFloat16) return LogitProducts::kFp32;
  return device == at::kCPU && !cpu::multiplies_bf16() ? LogitProducts::kBf16Widened : LogitProducts::kBf16;
}

LogitTileSizes logit_tile_sizes(std::int64_t rows, std::int64_t vocabulary, std::int64_t channels,
                                LogitProducts products, at::DeviceType device) {
  const bool on_cpu = device == at::kCPU;
  std::int64_t columns = on_cpu ? kMostBytes / (kFewestRows * kFloat) : kGpuColumns;
  std::int64_t column_bytes = 0;  // of a column, whatever the rows
  std::int64_t row_bytes =
      channels * (2 * kFloat);  // the row and the sum that becomes d_hidden; both, rounded
  std::int64_t logit_bytes = kFloat;
  std::int64_t most_bytes = kMostBytes;
  // Whatever the number of threads: it must not decide the order of sums.
  if (products == LogitProducts::kBf16 && on_cpu)
    most_bytes -= cpu::kMostPackedBytes + kThreads * cpu::kMostThreadBytes;
  if (products == LogitProducts::kBf16 && !on_cpu) logit_bytes += kHalf;  // a CPU rounds in place
  if (products == LogitProducts::kBf16Widened) {  // rows and the piece of the head as fp32, too
    row_bytes += channels * kFloat;
    column_bytes = channels * kFloat;
    columns = std::min(columns, kMostBytes / 4 / column_bytes);
  }
  columns = std::max<std::int64_t>(1, std::min(columns, vocabulary));
  const std::int64_t fitting = (most_bytes - columns * column_bytes) / (columns * logit_bytes + row_bytes);
  rows = std::max<std::int64_t>(1, std::min(fitting, rows));
  return {.rows = rows,
          .columns = columns,
          .bytes = rows * columns * logit_bytes + rows * row_bytes + columns * column_bytes};
}

}  // namespace vrwkv::kernels
