// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy/logit_tile.h"

#include <algorithm>

namespace vrwkv::kernels {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{56} << 20;
constexpr std::int64_t kFloat = sizeof(float), kHalf = 2;
constexpr std::int64_t kFewestRows = 64;  // of a CPU's products that are worth it
constexpr std::int64_t kGpuColumns = 4096;

}  // namespace

LogitTileSizes logit_tile_sizes(std::int64_t rows, std::int64_t vocabulary, std::int64_t channels,
                                at::ScalarType type, at::DeviceType device) {
  const bool on_cpu = device == at::kCPU, low = type == at::kBFloat16;
  std::int64_t columns = on_cpu ? kMostBytes / (kFewestRows * kFloat) : kGpuColumns;
  std::int64_t column_bytes = 0;  // of a column, whatever the rows
  std::int64_t row_bytes = 0;     // of a row, whatever the columns
  const std::int64_t logit_bytes = kFloat + (low && !on_cpu ? kHalf : 0);
  if (low) row_bytes = channels * kFloat;  // the sum that becomes d_hidden
  if (low && on_cpu) {                     // hidden states and the piece of the head as fp32
    row_bytes *= 2;
    column_bytes = channels * kFloat;
    columns = std::min(columns, kMostBytes / 4 / column_bytes);
  }
  columns = std::max<std::int64_t>(1, std::min(columns, vocabulary));
  const std::int64_t fitting = (kMostBytes - columns * column_bytes) / (columns * logit_bytes + row_bytes);
  rows = std::max<std::int64_t>(1, std::min(fitting, rows));
  return {.rows = rows,
          .columns = columns,
          .bytes = rows * columns * logit_bytes + rows * row_bytes + columns * column_bytes};
}

}  // namespace vrwkv::kernels
