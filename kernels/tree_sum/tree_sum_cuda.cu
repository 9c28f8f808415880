// SPDX-License-Identifier: Apache-2.0
// A thread adds up one element after the other, on a stack that is a column of shared memory of its own.
#include <cstdint>

#include "kernels/device/device.h"
#include "kernels/tree_sum/tree_sum_backend.h"

namespace vrwkv::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPerThread = 8;
constexpr int kPerBlock = kThreads * kPerThread;
/// Values that a thread asks for before it needs them.
constexpr int kAhead = 8;

/// A TreeSum by value: what a kernel can be passed.
struct Plan {
  const float* values[kMostTreeValues];
  std::uint8_t additions[kMostTreeValues];
  int value_count;
  float* sum;
  std::int64_t count;
};

__global__ void __launch_bounds__(kThreads) tree_sum_kernel(const __grid_constant__ Plan plan) {
  auto* stack =
      static_cast<float*>(device::shared_memory()) + device::thread_index();  // every kThreads-th is mine
  const std::int64_t first =
      static_cast<std::int64_t>(device::block_index()) * kPerBlock + device::thread_index();
  for (int k = 0; k < kPerThread; ++k) {
    const std::int64_t i = first + k * kThreads;
    if (i >= plan.count) return;
    int height = 0;
    for (int v = 0; v < plan.value_count; v += kAhead) {
      float ahead[kAhead];
#pragma unroll
      for (int u = 0; u < kAhead; ++u) ahead[u] = v + u < plan.value_count ? plan.values[v + u][i] : 0.0F;
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        if (v + u >= plan.value_count) break;
        float sum = ahead[u];
        for (int left = plan.additions[v + u]; left > 0; --left) sum = stack[--height * kThreads] + sum;
        stack[height++ * kThreads] = sum;
      }
    }
    plan.sum[i] = stack[0];
  }
}

}  // namespace

void tree_sum(const TreeSum& call, void* stream) {
  Plan plan{};
  for (std::int64_t v = 0; v < call.value_count; ++v) {
    plan.values[v] = call.values[v];
    plan.additions[v] = call.additions[v];
  }
  plan.value_count = static_cast<int>(call.value_count);
  plan.sum = call.sum;
  plan.count = call.count;
  const std::int64_t blocks = (call.count + kPerBlock - 1) / kPerBlock;
  if (blocks == 0) return;
  device::launch(tree_sum_kernel, blocks, kThreads, call.depth * kThreads * sizeof(float), stream, plan);
}

}  // namespace vrwkv::kernels::cuda
