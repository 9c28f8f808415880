// SPDX-License-Identifier: Apache-2.0
// SAM's attention of one image, windowed and over the whole map: map_attention(), the same through LibTorch's
// fused attention over widened channels, and as Segment Anything and timm write it, with all scores. Same
// process, same threads; on a CPU the most memory held at once beside the inputs is counted too.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include "bench/kernels/bench_device.h"
#include "kernels/attention/map_attention.h"
#include "kernels/attention/map_attention_reference.h"
#include "kernels/attention/widened_attention.h"
#include "tests/support/peak_memory.h"

namespace vrwkv::kernels {
namespace {

using Attention = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&);

void attend(benchmark::State& state, Attention attention) {
  const at::NoGradGuard no_gradients;
  const std::int64_t side = state.range(0), window = state.range(1), heads = state.range(2), head_size = 64;
  at::manual_seed(1);
  const at::Tensor qkv = at::randn({1, side, side, 3, heads, head_size}, bench::options());
  const at::Tensor table = at::randn({2 * window - 1, head_size}, bench::options()) * 0.1;
  const at::Tensor outside = at::randn({3, heads, head_size}, bench::options());
  if (bench::device().is_cpu()) {
    const test::PeakMemory peak;
    benchmark::DoNotOptimize(attention(qkv, table, table, outside));
    state.counters["peak_mb"] = static_cast<double>(peak.bytes()) / 1e6;
  }
  bench::time_calls(state, [&] { return attention(qkv, table, table, outside); });
  // Both products, of each place with the places of its window, as though none lay outside.
  const double flops = 4.0 * static_cast<double>(side * side * window * window * heads * head_size);
  state.counters["gflop_per_s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"side", "window", "heads"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({16, 8, 2})->Args({16, 16, 2})->Args({64, 14, 12})->Args({64, 64, 12});
}

BENCHMARK_CAPTURE(attend, map_attention, map_attention)->Apply(shapes);
BENCHMARK_CAPTURE(attend, widened, widened_attention)->Apply(shapes);
BENCHMARK_CAPTURE(attend, all_scores, map_attention_reference)->Apply(shapes);

}  // namespace
}  // namespace vrwkv::kernels
