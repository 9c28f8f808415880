// SPDX-License-Identifier: Apache-2.0
// A block takes a row of a tile, whose 16 KB it finds in its cache after the first pass.
#include <cmath>
#include <cstdint>

#include "kernels/cross_entropy/logit_rows_backend.h"
#include "kernels/device/device.h"

namespace vrwkv::kernels::cuda {
namespace {

using device::kWarpLanes;

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpLanes;
constexpr float kInfinity = INFINITY;

struct Largest {
  float value;
  int column;

  /// The higher one; of equals the first.
  __device__ void take(float other, int other_column) {
    if (other > value || (other == value && other_column < column)) {
      value = other;
      column = other_column;
    }
  }
};

struct Shared {
  float values[kWarps];
  int columns[kWarps];
  float sums[kWarps];
};

/// The block's largest; every thread gets it.
__device__ Largest block_largest(Largest mine, Shared& shared) {
#pragma unroll
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2)
    mine.take(device::shuffle_xor(mine.value, mask), device::shuffle_xor(mine.column, mask));
  const int warp = device::thread_index() / kWarpLanes;
  if (device::thread_index() % kWarpLanes == 0) {
    shared.values[warp] = mine.value;
    shared.columns[warp] = mine.column;
  }
  device::block_barrier();
  for (int other = 0; other < kWarps; ++other) mine.take(shared.values[other], shared.columns[other]);
  return mine;
}

/// The sum over the block, in one order; every thread gets it.
__device__ float block_sum(float mine, Shared& shared) {
  mine = device::warp_sum(mine);
  if (device::thread_index() % kWarpLanes == 0) shared.sums[device::thread_index() / kWarpLanes] = mine;
  device::block_barrier();
  float sum = 0.0F;
  for (int warp = 0; warp < kWarps; ++warp) sum += shared.sums[warp];
  return sum;
}

__device__ bool has_column(const LogitRows& tile, std::int64_t column) {
  return column >= tile.first_column && column < tile.first_column + tile.columns;
}

__global__ void __launch_bounds__(kThreads)
    statistics_kernel(const LogitRows tile, const float* logits, float* losses) {
  auto& shared = *static_cast<Shared*>(device::shared_memory());
  const std::int64_t r = device::block_index();
  const float* row = logits + r * tile.columns;
  const int columns = static_cast<int>(tile.columns);
  Largest here{-kInfinity, 0};
#pragma unroll 4
  for (int j = device::thread_index(); j < columns; j += kThreads) here.take(row[j], j);
  here = block_largest(here, shared);
  RowStatistics seen = tile.statistics[r];
  if (tile.first_column == 0) seen = {-kInfinity, 0, 0.0F, 0.0F};
  const bool higher = here.value > seen.largest;
  const float largest = higher ? here.value : seen.largest;
  float sum = 0.0F;
#pragma unroll 4
  for (int j = device::thread_index(); j < columns; j += kThreads) sum += device::exp_fast(row[j] - largest);
  sum = block_sum(sum, shared);
  if (device::thread_index() != 0) return;
  const std::int64_t target = tile.targets[r];
  if (has_column(tile, target)) seen.target_logit = row[target - tile.first_column];
  sum += seen.sum * expf(seen.largest - largest);
  const auto column = static_cast<std::int32_t>(tile.first_column + here.column);
  tile.statistics[r] = {largest, higher ? column : seen.largest_column, sum, seen.target_logit};
  losses[r] = target < 0 ? 0.0F : logf(sum) + largest - seen.target_logit;
}

/// The thread that writes a column also corrects it, so nobody waits.
template <class Element>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const LogitRows tile, float l2wrap_scale, const float* logits, Element* gradient) {
  const std::int64_t r = device::block_index();
  const float* row = logits + r * tile.columns;
  Element* to = gradient + r * tile.columns;
  const RowStatistics all = tile.statistics[r];
  const std::int64_t target = tile.targets[r] - tile.first_column;
  const std::int64_t largest = all.largest_column - tile.first_column;
  const float weight = tile.targets[r] < 0 ? 0.0F : tile.weights[r];
  const float factor = weight / all.sum;
  const int columns = static_cast<int>(tile.columns);
#pragma unroll 4
  for (int j = device::thread_index(); j < columns; j += kThreads) {
    float value = device::exp_fast(row[j] - all.largest) * factor;
    if (j == target) value -= weight;
    if (j == largest) value += all.largest * l2wrap_scale;
    to[j] = from_float<Element>(value);
  }
}

template <class Element>
void launch_gradient(const LogitRows& tile, float l2wrap_scale, const float* logits, Element* gradient,
                     void* stream) {
  device::launch(gradient_kernel<Element>, tile.rows, kThreads, 0, stream, tile, l2wrap_scale, logits,
                 gradient);
}

}  // namespace

void merge_statistics(const LogitRows& tile, const float* logits, float* losses, void* stream) {
  device::launch(statistics_kernel, tile.rows, kThreads, sizeof(Shared), stream, tile, logits, losses);
}

void logits_to_gradient(const LogitRows& tile, float l2wrap_scale, const float* logits, float* gradient,
                        void* stream) {
  launch_gradient(tile, l2wrap_scale, logits, gradient, stream);
}

void logits_to_gradient(const LogitRows& tile, float l2wrap_scale, const float* logits, Bf16* gradient,
                        void* stream) {
  launch_gradient(tile, l2wrap_scale, logits, gradient, stream);
}

}  // namespace vrwkv::kernels::cuda
