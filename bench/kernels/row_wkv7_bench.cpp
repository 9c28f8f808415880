// SPDX-License-Identifier: Apache-2.0
// The rival of row_wkv7.h on a GPU, forward and backward, first compared with wkv7(). A build without CUDA
// runs it in emulation, where only the comparison says something.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "bench/kernels/bench_device.h"
#include "bench/kernels/row_wkv7.h"
#include "kernels/device/current_stream.h"
#include "kernels/wkv7/wkv7.h"

namespace vrwkv::bench {
namespace {

using kernels::Bf16;

Bf16* data(const at::Tensor& tensor) { return static_cast<Bf16*>(tensor.data_ptr()); }

/// Inputs as the model makes them, and room for everything else.
struct Tensors {
  explicit Tensors(const benchmark::State& state) {
    const std::vector<std::int64_t> sizes = {state.range(0), state.range(1), state.range(2),
                                             RowWkv7::kHeadSize};
    const auto random = [&] { return at::randn(sizes, options()); };
    at::manual_seed(1);
    at::Tensor key = random();
    key = key / at::linalg_vector_norm(key, 2, {-1}, /*keepdim=*/true);
    inputs = {random(), -at::softplus(random()) - 0.5, random(), random(), -key, key * at::sigmoid(random())};
    for (at::Tensor& input : inputs) {
      input = input.to(at::kBFloat16);
      gradients.push_back(at::empty_like(input));
    }
    d_y = random().to(at::kBFloat16);
    y = at::empty_like(d_y);
    states = at::empty({sizes[0], sizes[2], sizes[1] / RowWkv7::kKeptEvery, sizes[3], sizes[3]}, options());
    state_a = at::empty(sizes, options());
    problem = {.batch = sizes[0],
               .tokens = sizes[1],
               .heads = sizes[2],
               .r = data(inputs[0]),
               .w = data(inputs[1]),
               .k = data(inputs[2]),
               .v = data(inputs[3]),
               .a = data(inputs[4]),
               .b = data(inputs[5]),
               .states = states.data_ptr<float>(),
               .state_a = state_a.data_ptr<float>()};
  }

  void forward() const { row_wkv7_forward(problem, data(y), stream()); }
  void backward() const {
    const RowWkv7Gradients out{.r = data(gradients[0]),
                               .w = data(gradients[1]),
                               .k = data(gradients[2]),
                               .v = data(gradients[3]),
                               .a = data(gradients[4]),
                               .b = data(gradients[5])};
    row_wkv7_backward(problem, data(d_y), out, stream());
  }
  /// Whether all results are, but for their rounding to bf16, those of wkv7() in fp32.
  bool agrees() const {
    std::vector<at::Tensor> wide;
    for (const at::Tensor& input : inputs) wide.push_back(input.to(at::kFloat).requires_grad_());
    const at::Tensor expected_y =
        kernels::wkv7(wide[0], wide[1], wide[2], wide[3], wide[4], wide[5], at::zeros({1}, at::kLong)).y;
    auto expected = torch::autograd::grad({expected_y}, wide, {d_y.to(at::kFloat)});
    expected.push_back(expected_y.detach());
    std::vector<at::Tensor> actual = gradients;
    actual.push_back(y);
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const double difference = (actual[i].to(at::kFloat) - expected[i]).norm().item<double>();
      if (!(difference <= 5e-3 * expected[i].norm().item<double>())) return false;
    }
    return true;
  }

  /// Emulation has none.
  static void* stream() { return device().is_cuda() ? kernels::current_stream(device()) : nullptr; }

  std::vector<at::Tensor> inputs, gradients;
  at::Tensor y, d_y, states, state_a;
  RowWkv7 problem;
};

void measure(benchmark::State& state, int accesses, void (Tensors::*pass)() const) {
  const Tensors tensors(state);
  tensors.forward();
  tensors.backward();
  if (!tensors.agrees()) return state.SkipWithError("it differs from wkv7()");
  time_calls(state, [&] {
    (tensors.*pass)();
    return tensors.y;
  });
  const auto token_heads = static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  state.counters["GB_per_s"] = benchmark::Counter(token_heads * accesses * RowWkv7::kHeadSize * 2e-9,
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"B", "T", "H"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({1, 48, 2})->Args({8, 2048, 16})->Args({8, 4096, 64});
}

BENCHMARK_CAPTURE(measure, row_wkv7_forward, 7, &Tensors::forward)->Apply(shapes);
BENCHMARK_CAPTURE(measure, row_wkv7_backward, 13, &Tensors::backward)->Apply(shapes);

}  // namespace
}  // namespace vrwkv::bench
