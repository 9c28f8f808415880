// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <benchmark/benchmark.h>

#include <cstring>

namespace vrwkv::bench {

/// Where the benchmarks of a program compute: the CPU, unless main() was told otherwise.
inline at::Device& device() {
  static at::Device chosen = at::kCPU;
  return chosen;
}

/// Takes "--device=cuda:0" off the command line; the results name the device.
inline void take_device(int* argc, char** argv) {
  constexpr const char* kOption = "--device=";
  for (int i = 1; i < *argc; ++i) {
    if (std::strncmp(argv[i], kOption, std::strlen(kOption)) != 0) continue;
    device() = at::Device(argv[i] + std::strlen(kOption));
    std::memmove(argv + i, argv + i + 1, static_cast<std::size_t>(*argc - i) * sizeof(char*));
    --*argc;
  }
  benchmark::AddCustomContext("device", device().str());
}

/// Waits for what was queued on the device; a CPU has nothing queued.
inline void synchronize() {
  if (device().is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(device().index());
}

/// What the benchmarks of a program compute with is made there.
inline at::TensorOptions options(at::ScalarType type = at::kFloat) {
  return at::TensorOptions(device()).dtype(type);
}

/// Times `work`, each call until it is done.
template <class Work>
void time_calls(benchmark::State& state, const Work& work) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(work());
    synchronize();
  }
}

}  // namespace vrwkv::bench
