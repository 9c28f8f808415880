// SPDX-License-Identifier: Apache-2.0
// The words of device.h on a GPU.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/device/device_error.h"

namespace vrwkv::kernels::device {

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw_device_error(what, cudaGetErrorString(error));
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), std::int64_t blocks, int threads, std::size_t shared_bytes,
            void* stream, const Arguments&... arguments) {
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute");
  }
  kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(threads), shared_bytes,
           static_cast<cudaStream_t>(stream)>>>(arguments...);
  check(cudaGetLastError(), "kernel launch");
}

__device__ __forceinline__ int thread_index() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int block_index() { return static_cast<int>(blockIdx.x); }

__device__ __forceinline__ void* shared_memory() {
  extern __shared__ __align__(128) unsigned char vrwkv_shared_memory[];
  return vrwkv_shared_memory;
}

__device__ __forceinline__ void block_barrier() { __syncthreads(); }

__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void warp_barrier() { __syncwarp(); }

template <class Value>
__device__ __forceinline__ Value shuffle_xor(Value value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, mask);
}

template <class Value>
__device__ __forceinline__ Value shuffle(Value value, int lane) {
  return __shfl_sync(0xFFFFFFFFU, value, lane);
}

}  // namespace vrwkv::kernels::device
