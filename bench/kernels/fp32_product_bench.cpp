// SPDX-License-Identifier: Apache-2.0
// Products of bf16 matrices that are left in fp32: fp32_product() beside LibTorch's product of the widened
// matrices, and beside its product that is rounded to bf16. Shapes are those of training 1,024 tokens of a
// model of 768 channels: gradients of weights, and what the head's tiles multiply.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "bench/kernels/bench_device.h"
#include "kernels/fp32_product/fp32_product.h"

namespace vrwkv::kernels {
namespace {

using Product = void (*)(at::Tensor& to, const at::Tensor&, const at::Tensor&);

void unrounded(at::Tensor& to, const at::Tensor& a, const at::Tensor& b) {
  fp32_product_into(to, a, b, /*adds=*/false);
}

void widened(at::Tensor& to, const at::Tensor& a, const at::Tensor& b) {
  at::mm_out(to, a.to(at::kFloat), b.to(at::kFloat));
}

void rounded(at::Tensor& to, const at::Tensor& a, const at::Tensor& b) { at::mm_out(to, a, b); }

/// (M, K) (K, N), of which the left or the right one lies transposed.
void product(benchmark::State& state, Product multiply, at::ScalarType result) {
  const std::int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  const bool left_lies_transposed = state.range(3) == 1, right_lies_transposed = state.range(3) == 2;
  const auto matrix = [](std::int64_t rows, std::int64_t columns, bool transposed) {
    const at::TensorOptions bf16 = bench::options(at::kBFloat16);
    return transposed ? at::randn({columns, rows}, bf16).t() : at::randn({rows, columns}, bf16);
  };
  const at::Tensor a = matrix(m, k, left_lies_transposed), b = matrix(k, n, right_lies_transposed);
  at::Tensor to = at::empty({m, n}, bench::options(result));
  bench::time_calls(state, [&] {
    multiply(to, a, b);
    return to;
  });
  state.counters["gflop_per_s"] = benchmark::Counter(2e-9 * static_cast<double>(m * k * n),
                                                     benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"M", "K", "N", "transposed"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({64, 64, 64, 0});
  benchmark->Args({768, 1024, 768, 1})->Args({3072, 1024, 768, 1})->Args({96, 1024, 768, 1});
  benchmark->Args({224, 768, 65536, 2})->Args({224, 65536, 768, 0})->Args({65536, 224, 768, 1});
}

BENCHMARK_CAPTURE(product, fp32, unrounded, at::kFloat)->Apply(shapes);
BENCHMARK_CAPTURE(product, widened, widened, at::kFloat)->Apply(shapes);
BENCHMARK_CAPTURE(product, rounded, rounded, at::kBFloat16)->Apply(shapes);

}  // namespace
}  // namespace vrwkv::kernels
