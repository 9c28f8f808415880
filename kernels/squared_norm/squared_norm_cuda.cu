// SPDX-License-Identifier: Apache-2.0
// A thread has one of the sums that squared_norm_backend.h speaks of.
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/squared_norm/squared_norm_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

constexpr int kThreads = kNormSegments * kNormSums;

__global__ void __launch_bounds__(kThreads)
    squared_norm_kernel(const float* values, std::int64_t count, double* block_sums) {
  auto* sums = static_cast<double*>(device::shared_memory());  // (kNormSegments, kNormSums)
  const int thread = device::thread_index(), segment = thread / kNormSums, mine = thread % kNormSums;
  const std::int64_t first = device::block_index() * kNormBlock + segment * kNormSegment;
  const std::int64_t end = first + kNormSegment < count ? first + kNormSegment : count;
  double sum = 0.0;
#pragma unroll 8
  for (std::int64_t i = first + mine; i < end; i += kNormSums) {
    const double value = values[i];
    sum += value * value;
  }
  sums[thread] = sum;
  for (int half = kNormSums / 2; half > 0; half /= 2) {
    device::block_barrier();
    if (mine < half) sums[thread] += sums[thread + half];
  }
  for (int half = kNormSegments / 2; half > 0; half /= 2) {
    device::block_barrier();
    if (mine == 0 && segment < half) sums[thread] += sums[thread + half * kNormSums];
  }
  if (thread == 0) block_sums[device::block_index()] = sums[0];
}

}  // namespace

void squared_norm_blocks(const float* values, std::int64_t count, double* sums, void* stream) {
  const std::int64_t blocks = (count + kNormBlock - 1) / kNormBlock;
  if (blocks > 0) {
    device::launch(squared_norm_kernel, blocks, kThreads, kThreads * sizeof(double), stream, values, count,
                   sums);
  }
}

}  // namespace vrwkv::kernels::cuda
