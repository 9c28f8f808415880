// SPDX-License-Identifier: Apache-2.0
// Head, cross-entropy, logit penalty and their gradients: head_cross_entropy() beside LibTorch's operations
// over all logits and their graph, and beside its slow twin. Same process, same threads; on a CPU the most
// memory held at once beside arguments and results is counted too. `elements` is what happens between the
// products alone, in one tile, on a CPU.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include "bench/kernels/bench_device.h"
#include "kernels/cross_entropy/head_cross_entropy.h"
#include "kernels/cross_entropy/head_cross_entropy_reference.h"
#include "kernels/cross_entropy/logit_rows_backend.h"
#include "tests/support/peak_memory.h"

namespace vrwkv::kernels {
namespace {

constexpr double kL2WrapScale = 1e-6;

using HeadLossOf = HeadLoss (*)(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                                const at::Tensor& weights);

HeadLoss tile_by_tile(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                      const at::Tensor& weights) {
  return head_cross_entropy(hidden, head, targets, weights, kL2WrapScale, true, true);
}

HeadLoss eager(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
               const at::Tensor& weights) {
  const at::AutoGradMode graph(true);
  const at::Tensor rows = hidden.detach().requires_grad_(), entries = head.detach().requires_grad_();
  const at::Tensor logits = rows.matmul(entries.t());
  const at::Tensor losses = at::cross_entropy_loss(logits, targets, {}, at::Reduction::None);
  const at::Tensor penalty = std::get<0>(logits.max(1)).square().sum() * (0.5 * kL2WrapScale);
  const auto gradients = torch::autograd::grad({(losses * weights).sum() + penalty}, {rows, entries});
  return {.losses = losses.detach(), .d_hidden = gradients[0], .d_head = gradients[1]};
}

HeadLoss twin(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
              const at::Tensor& weights) {
  return head_cross_entropy_reference(hidden, head, targets, weights, kL2WrapScale);
}

void head_loss(benchmark::State& state, HeadLossOf compute) {
  const std::int64_t rows = state.range(0), vocabulary = state.range(1), channels = state.range(2);
  at::manual_seed(1);
  const at::ScalarType type = state.range(3) == 16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor hidden = at::randn({rows, channels}, bench::options(type));
  const at::Tensor head = at::randn({vocabulary, channels}, bench::options(type)) * 0.05;
  const at::Tensor targets = at::randint(vocabulary, {rows}, bench::options(at::kLong));
  const at::Tensor weights = at::rand({rows}, bench::options());
  if (bench::device().is_cpu()) {
    const test::PeakMemory peak;
    const HeadLoss loss = compute(hidden, head, targets, weights);
    const std::size_t results = loss.losses.nbytes() + loss.d_hidden.nbytes() + loss.d_head.nbytes();
    state.counters["temporary_mb"] =
        static_cast<double>(peak.bytes() - static_cast<std::int64_t>(results)) / 1e6;
  }
  bench::time_calls(state, [&] { return compute(hidden, head, targets, weights).d_head; });
  const double flops = 6.0 * static_cast<double>(rows * vocabulary * channels);
  state.counters["gflop_per_s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

/// Logits to losses and gradient, in place, as head_cross_entropy() does.
void elements_fused(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& weights) {
  const at::Tensor losses = at::empty({logits.size(0)});
  const at::Tensor statistics = at::empty({logits.size(0), sizeof(RowStatistics)}, at::kByte);
  const LogitRows tile{.rows = logits.size(0),
                       .columns = logits.size(1),
                       .first_column = 0,
                       .targets = targets.const_data_ptr<std::int64_t>(),
                       .weights = weights.const_data_ptr<float>(),
                       .statistics = static_cast<RowStatistics*>(statistics.data_ptr())};
  cpu::merge_statistics(tile, logits.const_data_ptr<float>(), losses.data_ptr<float>());
  cpu::logits_to_gradient<float>(tile, kL2WrapScale, logits.data_ptr<float>());
  benchmark::DoNotOptimize(losses);
}

/// The same in LibTorch's operations, in place where they can be.
void elements_eager(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& weights) {
  const at::Tensor target_column = targets.unsqueeze(1), row_weight = weights.unsqueeze(1);
  const auto [largest, largest_column] = logits.max(1, /*keepdim=*/true);
  const at::Tensor target_logit = logits.gather(1, target_column);
  logits.sub_(largest).exp_();
  const at::Tensor sum = logits.sum(1, /*keepdim=*/true);
  benchmark::DoNotOptimize(sum.log() + largest - target_logit);
  logits.mul_(row_weight / sum);
  logits.scatter_add_(1, target_column, -row_weight);
  logits.scatter_add_(1, largest_column, largest * kL2WrapScale);
}

void elements(benchmark::State& state,
              void (*compute)(const at::Tensor&, const at::Tensor&, const at::Tensor&)) {
  const std::int64_t rows = state.range(0), vocabulary = state.range(1);
  at::manual_seed(1);
  // Gradients make good logits, too: values are not what takes time.
  const at::Tensor logits = at::randn({rows, vocabulary});
  const at::Tensor targets = at::randint(vocabulary, {rows}, at::kLong), weights = at::rand({rows});
  for (auto _ : state) compute(logits, targets, weights);
  state.counters["ns_per_logit"] =
      benchmark::Counter(static_cast<double>(rows * vocabulary) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["threads"] = at::get_num_threads();
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"P", "V", "C", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({64, 4096, 128, 32})
      ->Args({768, 4096, 128, 32})
      ->Args({1024, 65536, 768, 32})
      ->Args({1024, 65536, 768, 16});
}

/// Minutes on a CPU.
void gpu_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"P", "V", "C", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({8192, 65536, 768, 16})->Args({8192, 65536, 2048, 16});
}

void tiles(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"P", "V"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({64, 4096})->Args({224, 65536});
}

BENCHMARK_CAPTURE(head_loss, tile_by_tile, tile_by_tile)->Apply(shapes);
BENCHMARK_CAPTURE(head_loss, eager, eager)->Apply(shapes);
BENCHMARK_CAPTURE(head_loss, twin, twin)->Apply(shapes);
BENCHMARK_CAPTURE(head_loss, for_gpus, tile_by_tile)->Apply(gpu_shapes);
BENCHMARK_CAPTURE(head_loss, eager_for_gpus, eager)->Apply(gpu_shapes);
BENCHMARK_CAPTURE(elements, fused, elements_fused)->Apply(tiles);
BENCHMARK_CAPTURE(elements, eager, elements_eager)->Apply(tiles);

}  // namespace
}  // namespace vrwkv::kernels
