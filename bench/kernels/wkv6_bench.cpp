// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per token and head of wkv6(), forward and backward, beside the per-token loop of LibTorch
// operations that one would write without it and beside its slow twin, the same loop in fp64: same process,
// same threads.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "bench/kernels/forward_and_backward.h"
#include "kernels/wkv6/wkv6.h"
#include "kernels/wkv6/wkv6_reference.h"

namespace vrwkv::kernels {
namespace {

using Tensors = std::vector<at::Tensor>;

// In the order r, k, v, w, u.
Tensors fused(const Tensors& in) {
  return {wkv6(in[0], in[1], in[2], in[3], in[4], at::zeros({1}, at::kLong)).y};
}

/// unbind, not indexing: the backward of x[:, t] writes a whole gradient for every token.
Tensors eager(const Tensors& in) {
  const auto r = in[0].unbind(1), k = in[1].unbind(1), v = in[2].unbind(1);
  const auto decay = in[3].exp().neg().exp().unbind(1);
  at::Tensor state = at::zeros({in[0].size(0), in[0].size(2), in[0].size(3), in[0].size(3)}, in[0].options());
  Tensors y;
  for (std::size_t t = 0; t < r.size(); ++t) {
    const at::Tensor incoming = v[t].unsqueeze(-1) * k[t].unsqueeze(-2);
    y.push_back((state + incoming * in[4].unsqueeze(-2)).matmul(r[t].unsqueeze(-1)).squeeze(-1));
    state = state * decay[t].unsqueeze(-2) + incoming;
  }
  return {at::stack(y, 1)};
}

Tensors twin(const Tensors& in) {
  return {wkv6_reference(in[0], in[1], in[2], in[3], in[4], at::zeros({1}, at::kLong)).y};
}

void both(benchmark::State& state, const bench::Operator& run, const bench::Operator& rival) {
  const std::vector<std::int64_t> sizes = {state.range(0), state.range(1), state.range(2), state.range(3)};
  const at::ScalarType type = state.range(4) == 16 ? at::kBFloat16 : at::kFloat;
  at::manual_seed(1);
  Tensors inputs = {at::randn(sizes), at::randn(sizes), at::randn(sizes), at::randn(sizes) - 2,
                    at::randn({sizes[2], sizes[3]})};
  for (std::size_t i = 0; i < 4; ++i) inputs[i] = inputs[i].to(type);  // u is fp32 always
  // Forward: five rows; backward: nine; and a state in 16 tokens written and read.
  const double bytes = static_cast<double>(inputs[0].numel()) *
                       (14 + 2 * static_cast<double>(sizes[3]) / 16) *
                       static_cast<double>(c10::elementSize(type));
  bench::time_forward_and_backward(state, run, rival, inputs, bytes);
  const auto token_heads = static_cast<double>(sizes[0] * sizes[1] * sizes[2]);
  state.counters["ns_per_token_head"] = benchmark::Counter(
      token_heads * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <int... kBits>
void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"B", "T", "H", "N", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int bits : {kBits...}) benchmark->Args({1, 48, 2, 64, bits})->Args({1, 512, 12, 64, bits});
}

/// Fewer heads than threads, and more of them: a long sequence.
void long_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"B", "T", "H", "N", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int heads : {1, 12})
    for (const int bits : {32, 16}) benchmark->Args({1, 2048, heads, 64, bits});
}

/// Minutes on a CPU.
void gpu_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"B", "T", "H", "N", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int bits : {32, 16}) benchmark->Args({8, 2048, 16, 64, bits});
}

BENCHMARK_CAPTURE(both, wkv6, fused, eager)->Apply(shapes<32, 16>);
BENCHMARK_CAPTURE(both, long, fused, fused)->Apply(long_shapes);
BENCHMARK_CAPTURE(both, eager, eager, fused)->Apply(shapes<32>);
BENCHMARK_CAPTURE(both, twin, twin, fused)->Apply(shapes<32>);
BENCHMARK_CAPTURE(both, for_gpus, fused, fused)->Apply(gpu_shapes);

}  // namespace
}  // namespace vrwkv::kernels
