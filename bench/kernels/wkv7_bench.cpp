// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per token and head of wkv7(), forward and backward, beside the per-token loop of LibTorch
// operations that one would write without it and beside its slow twin, the same loop in fp64: same process,
// same threads. GB_per_s is by the bytes of inputs, outputs and gradients, for any implementation.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <limits>
#include <vector>

#include "bench/kernels/bench_device.h"
#include "bench/kernels/eager_wkv7.h"
#include "kernels/wkv7/wkv7.h"
#include "kernels/wkv7/wkv7_reference.h"

namespace vrwkv::kernels {
namespace {

using Recurrence = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

constexpr Wkv7Options kOptions{.decay_input = DecayInput::kRaw};  // as the model does, and what takes chunks

at::Tensor fused(const std::vector<at::Tensor>& in) {
  return wkv7(in[0], in[1], in[2], in[3], in[4], in[5], at::zeros({1}, at::kLong), {}, kOptions).y;
}

at::Tensor eager(const std::vector<at::Tensor>& in) {
  const at::Tensor pre_clamped = -at::softplus(-in[1]) - 0.5;
  return bench::eager_wkv7(in[0], pre_clamped, in[2], in[3], in[4], in[5]);
}

at::Tensor twin(const std::vector<at::Tensor>& in) {
  return wkv7_reference(in[0], in[1], in[2], in[3], in[4], in[5], at::zeros({1}, at::kLong), {}, kOptions).y;
}

at::ScalarType type_of(const benchmark::State& state) {
  return state.range(4) == 16 ? at::kBFloat16 : at::kFloat;
}

/// Leaves that require gradients.
std::vector<at::Tensor> random_inputs(const benchmark::State& state) {
  const std::vector<std::int64_t> sizes = {state.range(0), state.range(1), state.range(2), state.range(3)};
  const auto random = [&] { return at::randn(sizes, at::TensorOptions(bench::device())); };
  at::manual_seed(1);
  const at::Tensor other = random(), key = other / other.norm(2, {-1}, /*keepdim=*/true);
  std::vector<at::Tensor> inputs = {random(), random(), random(),
                                    random(), -key,     key * at::sigmoid(random())};
  for (at::Tensor& input : inputs) input = input.to(type_of(state)).requires_grad_();
  return inputs;
}

/// Sets the iteration's time and the time of one token of one head: over all iterations, and of the
/// iteration that took processors the least, which says what a kernel costs on a machine that does other
/// things, too.
class Stopwatch {
 public:
  /// @param accesses  elements of (B, T, H, N) that must be read or written.
  Stopwatch(benchmark::State& state, int accesses) : state_(state), accesses_(accesses) {}
  void measure(const std::function<void()>& work) {
    bench::synchronize();
    const auto begin = std::chrono::steady_clock::now();
    const double cpu_begin_s = cpu_s();
    work();
    bench::synchronize();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    least_cpu_s_ = std::min(least_cpu_s_, cpu_s() - cpu_begin_s);
    state_.SetIterationTime(seconds.count());
    total_s_ += seconds.count();
  }
  ~Stopwatch() {
    const double token_heads = static_cast<double>(state_.range(0) * state_.range(1) * state_.range(2));
    const double iterations = static_cast<double>(state_.iterations());
    state_.counters["ns_per_token_head"] = total_s_ * 1e9 / token_heads / iterations;
    state_.counters["least_cpu_ns"] = least_cpu_s_ * 1e9 / token_heads;
    const double bytes = token_heads * static_cast<double>(accesses_ * state_.range(3) * state_.range(4) / 8);
    state_.counters["GB_per_s"] = bytes * iterations * 1e-9 / total_s_;
    state_.counters["threads"] = at::get_num_threads();
  }

 private:
  static double cpu_s() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

  benchmark::State& state_;
  const int accesses_;
  double total_s_ = 0.0, least_cpu_s_ = std::numeric_limits<double>::max();
};

/// As training runs it: what the backward needs is kept.
void forward(benchmark::State& state, const Recurrence& recurrence) {
  const auto inputs = random_inputs(state);
  Stopwatch stopwatch(state, 6 + 1);
  for (auto _ : state) {
    at::Tensor y;
    stopwatch.measure([&] { y = recurrence(inputs); });
  }
}

void backward(benchmark::State& state, const Recurrence& recurrence) {
  const auto inputs = random_inputs(state);
  const at::Tensor gradient = at::randn_like(inputs[0]);
  Stopwatch stopwatch(state, 7 + 6);
  for (auto _ : state) {
    const at::Tensor y = recurrence(inputs);
    stopwatch.measure([&] { benchmark::DoNotOptimize(torch::autograd::grad({y}, inputs, {gradient})); });
  }
}

template <int... kBits>
void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"B", "T", "H", "N", "bits"})->UseManualTime()->Unit(benchmark::kMillisecond);
  for (const int bits : {kBits...})
    benchmark->Args({1, 48, 2, 64, bits})->Args({1, 512, 12, 64, bits})->Args({1, 2048, 12, 64, bits});
}

/// What the bars of GPUs are stated for; minutes on a CPU.
void gpu_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"B", "T", "H", "N", "bits"})->UseManualTime()->Unit(benchmark::kMillisecond);
  for (const int bits : {32, 16}) benchmark->Args({8, 2048, 16, 64, bits})->Args({8, 4096, 64, 64, bits});
}

BENCHMARK_CAPTURE(forward, wkv7, fused)->Apply(shapes<32, 16>);
BENCHMARK_CAPTURE(backward, wkv7, fused)->Apply(shapes<32, 16>);
BENCHMARK_CAPTURE(forward, eager, eager)->Apply(shapes<32>);
BENCHMARK_CAPTURE(backward, eager, eager)->Apply(shapes<32>);
BENCHMARK_CAPTURE(forward, twin, twin)->Apply(shapes<32>);
BENCHMARK_CAPTURE(backward, twin, twin)->Apply(shapes<32>);
BENCHMARK_CAPTURE(forward, for_gpus, fused)->Apply(gpu_shapes);
BENCHMARK_CAPTURE(backward, for_gpus, fused)->Apply(gpu_shapes);

}  // namespace
}  // namespace vrwkv::kernels
