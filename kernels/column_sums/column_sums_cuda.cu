// SPDX-License-Identifier: Apache-2.0
// A block sums 32 columns. Warp w adds the rows w, w + 16, ...; then the first warp adds the warps' sums.
#include <cstdint>

#include "kernels/column_sums/column_sums_backend.h"
#include "kernels/device/device.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::kWarpLanes;

constexpr int kWarps = 16;

__global__ void __launch_bounds__(kWarps* kWarpLanes)
    column_sums_kernel(const float* rows, std::int64_t row_count, std::int64_t columns, float* sums) {
  auto* warp_sums = static_cast<float*>(device::shared_memory());  // (kWarps, kWarpLanes)
  const int warp = device::thread_index() / kWarpLanes, lane = device::thread_index() % kWarpLanes;
  const std::int64_t column = static_cast<std::int64_t>(device::block_index()) * kWarpLanes + lane;
  float sum = 0.0F;
  if (column < columns) {
#pragma unroll 8
    for (std::int64_t row = warp; row < row_count; row += kWarps) sum += rows[row * columns + column];
  }
  warp_sums[device::thread_index()] = sum;
  device::block_barrier();
  if (warp != 0 || column >= columns) return;
  for (int other = 1; other < kWarps; ++other) sum += warp_sums[other * kWarpLanes + lane];
  sums[column] = sum;
}

}  // namespace

void column_sums(const float* rows, std::int64_t row_count, std::int64_t columns, float* sums, void* stream) {
  device::launch(column_sums_kernel, (columns + kWarpLanes - 1) / kWarpLanes, kWarps * kWarpLanes,
                 kWarps * kWarpLanes * sizeof(float), stream, rows, row_count, columns, sums);
}

}  // namespace vrwkv::kernels::cuda
