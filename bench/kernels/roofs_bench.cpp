// SPDX-License-Identifier: Apache-2.0
// What bounds every operator on a device, as LibTorch reaches it: the rate of a copy between two tensors that
// no cache holds, and of large matrix products. roofline.py compares the other benchmarks with these.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "bench/kernels/bench_device.h"

namespace vrwkv::bench {
namespace {

void copy(benchmark::State& state) {
  const at::Tensor from = at::zeros({state.range(0)}, options()), to = at::zeros_like(from);
  time_calls(state, [&] { return to.copy_(from); });
  state.counters["GB_per_s"] = benchmark::Counter(2e-9 * static_cast<double>(from.nbytes()),
                                                  benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

void product(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const auto type = options(state.range(1) == 16 ? at::kBFloat16 : at::kFloat);
  const at::Tensor a = at::randn({n, n}, type), b = at::randn({n, n}, type);
  time_calls(state, [&] { return at::mm(a, b); });
  const auto side = static_cast<double>(n);
  state.counters["gflop_per_s"] =
      benchmark::Counter(2e-9 * side * side * side, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

void copies(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"n"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Arg(1 << 20)->Arg(1 << 27);
}

/// bf16 on a GPU alone: there are CPUs on which it dies.
void products(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"n", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({2048, 32})->Args({8192, 16});
}

BENCHMARK(copy)->Apply(copies);
BENCHMARK(product)->Apply(products);

}  // namespace
}  // namespace vrwkv::bench
