// SPDX-License-Identifier: Apache-2.0
// A thread adds up one element after the other, whose values it keeps in a column of shared memory of its
// own.
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/device/device_error.h"
#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPerThread = 8;
constexpr int kPerBlock = kThreads * kPerThread;

/// A TreeSum by value: what a kernel can be passed.
struct Plan {
  const float* values[kMostTreeValues];
  Merge merges[kMostTreeValues - 1];
  int value_count, merge_count;
  float* sum;
  std::int64_t count;
};

__global__ void __launch_bounds__(kThreads) tree_sum_kernel(const Plan plan) {
  auto* column =
      static_cast<float*>(device::shared_memory()) + device::thread_index();  // every kThreads-th is mine
  const std::int64_t first =
      static_cast<std::int64_t>(device::block_index()) * kPerBlock + device::thread_index();
  for (int k = 0; k < kPerThread; ++k) {
    const std::int64_t i = first + k * kThreads;
    if (i >= plan.count) return;
#pragma unroll 8
    for (int v = 0; v < plan.value_count; ++v) column[v * kThreads] = plan.values[v][i];
    for (int m = 0; m < plan.merge_count; ++m)
      column[plan.merges[m].left * kThreads] += column[plan.merges[m].right * kThreads];
    plan.sum[i] = column[0];
  }
}

}  // namespace

void tree_sum(const TreeSum& call, void* stream) {
  if (call.value_count > kMostTreeValues || call.merge_count > kMostTreeValues - 1)
    device::throw_device_error("tree_sum", "a GPU adds up at most 64 values");
  Plan plan{};
  for (int v = 0; v < call.value_count; ++v) plan.values[v] = call.values[v];
  for (int m = 0; m < call.merge_count; ++m) plan.merges[m] = call.merges[m];
  plan.value_count = static_cast<int>(call.value_count);
  plan.merge_count = static_cast<int>(call.merge_count);
  plan.sum = call.sum;
  plan.count = call.count;
  const std::int64_t blocks = (call.count + kPerBlock - 1) / kPerBlock;
  if (blocks == 0) return;
  device::launch(tree_sum_kernel, blocks, kThreads, plan.value_count * kThreads * sizeof(float), stream,
                 plan);
}

}  // namespace vrwkv::kernels::cuda
