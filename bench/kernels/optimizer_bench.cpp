// SPDX-License-Identifier: Apache-2.0
// The optimizer's passes over flat shards, each beside the LibTorch operations that do the same in several
// passes, and beside its slow twin. Same process, same threads. GB_per_s is by the bytes that must be read
// and written, for any implementation, so that rates compare as speeds do.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <functional>
#include <vector>

#include "bench/kernels/bench_device.h"
#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_reference.h"
#include "kernels/squared_norm/squared_norm.h"
#include "kernels/squared_norm/squared_norm_reference.h"
#include "kernels/tree_sum/tree_sum.h"
#include "kernels/tree_sum/tree_sum_reference.h"

namespace vrwkv::kernels {
namespace {

constexpr AdamwStep kStep{
    .learning_rate = 1e-4, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .step = 10};
constexpr float kScale = 0.5F;

struct Shard {
  explicit Shard(std::int64_t numel, at::ScalarType type = at::kFloat)
      : gradient(at::randn({numel}, bench::options(type))),
        master(at::randn({numel}, bench::options(type))),
        exp_avg(at::randn({numel}, bench::options(type))),
        exp_avg_sq(at::rand({numel}, bench::options(type))),
        parameters(at::zeros({numel}, bench::options(at::kBFloat16))) {}
  at::Tensor gradient, master, exp_avg, exp_avg_sq, parameters;
};

void fused_adamw(Shard& shard, bool in_bf16, bool stochastic) {
  const Bf16Parameters out{.to = in_bf16 ? shard.parameters : at::Tensor(), .stochastic = stochastic};
  adamw_update(shard.master, shard.exp_avg, shard.exp_avg_sq, shard.gradient, kScale, kStep, out);
}

void eager_adamw(Shard& shard, bool in_bf16, bool /*stochastic*/) {
  const double correction1 = 1 - std::pow(kStep.beta1, kStep.step),
               correction2 = 1 - std::pow(kStep.beta2, kStep.step);
  const at::Tensor g = shard.gradient.mul(kScale);
  shard.exp_avg.mul_(kStep.beta1).add_(g, 1 - kStep.beta1);
  shard.exp_avg_sq.mul_(kStep.beta2).addcmul_(g, g, 1 - kStep.beta2);
  const at::Tensor denominator = shard.exp_avg_sq.sqrt().div_(std::sqrt(correction2)).add_(kStep.epsilon);
  shard.master.mul_(1 - kStep.learning_rate * kStep.weight_decay);
  shard.master.addcdiv_(shard.exp_avg, denominator, -kStep.learning_rate / correction1);
  if (in_bf16) shard.parameters.copy_(shard.master);
}

void report(benchmark::State& state, double bytes) {
  state.counters["GB_per_s"] =
      benchmark::Counter(bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

void adamw(benchmark::State& state, void (*update)(Shard&, bool, bool), bool in_bf16,
           bool stochastic = false) {
  const at::NoGradGuard no_gradients;
  at::manual_seed(1);
  Shard shard(state.range(0));
  bench::time_calls(state, [&] {
    update(shard, in_bf16, stochastic);
    return shard.master;
  });
  report(state, (in_bf16 ? 30.0 : 28.0) * static_cast<double>(state.range(0)));
}

/// In fp64, one element at a time; on a CPU.
void twin_adamw(benchmark::State& state) {
  at::manual_seed(1);
  Shard shard(state.range(0), at::kDouble);
  bench::time_calls(state, [&] {
    adamw_update_reference(shard.master, shard.exp_avg, shard.exp_avg_sq, shard.gradient, kScale, kStep);
    return shard.master;
  });
  report(state, 28.0 * static_cast<double>(state.range(0)));
}

void squared_norm(benchmark::State& state, const std::function<at::Tensor(const at::Tensor&)>& norm) {
  const at::Tensor flat = at::randn({state.range(0)}, bench::options());
  bench::time_calls(state, [&] { return norm(flat); });
  report(state, 4.0 * static_cast<double>(state.range(0)));
}

/// Of the blocks that are whole.
at::Tensor eager_squared_norm(const at::Tensor& flat) {
  const std::int64_t blocks = flat.numel() / kNormBlock;
  return flat.narrow(0, 0, blocks * kNormBlock).view({blocks, kNormBlock}).to(at::kDouble).square_().sum(1);
}

using Values = std::vector<at::Tensor>;

void pairwise(const Values& values, const std::vector<Merge>& merges, at::Tensor& sum) {
  for (const Merge& merge : merges) values[merge.left].add_(values[merge.right]);
  sum.copy_(values[0]);
}

void fused_tree(const Values& values, const std::vector<Merge>& merges, at::Tensor& sum) {
  tree_sum(values, merges, sum);
}

void twin_tree(const Values& values, const std::vector<Merge>& merges, at::Tensor& sum) {
  sum = tree_sum_reference(values, merges);
}

void tree(benchmark::State& state, void (*add_up)(const Values&, const std::vector<Merge>&, at::Tensor&)) {
  const auto count = static_cast<std::size_t>(state.range(1));
  Values values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(at::zeros({state.range(0)}, bench::options()));
  std::vector<Merge> merges;
  for (std::size_t stride = 1; stride < count; stride *= 2) {
    for (std::size_t left = 0; left + stride < count; left += 2 * stride)
      merges.push_back({left, left + stride});
  }
  at::Tensor sum = at::empty({state.range(0)}, bench::options());
  bench::time_calls(state, [&] {
    add_up(values, merges, sum);
    return sum;
  });
  report(state, 4.0 * static_cast<double>(state.range(0) * (state.range(1) + 1)));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"n"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Arg(65536)->Arg(16 << 20);
}

void tree_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"n", "values"})->UseRealTime()->Unit(benchmark::kMillisecond);
  benchmark->Args({65536, 4})->Args({4 << 20, 2})->Args({4 << 20, 8});
}

BENCHMARK_CAPTURE(adamw, fused, fused_adamw, false)->Apply(sizes);
BENCHMARK_CAPTURE(adamw, fused_and_bf16, fused_adamw, true)->Apply(sizes);
BENCHMARK_CAPTURE(adamw, fused_and_bf16_by_chance, fused_adamw, true, true)->Apply(sizes);
BENCHMARK_CAPTURE(adamw, eager, eager_adamw, false)->Apply(sizes);
BENCHMARK_CAPTURE(adamw, eager_and_bf16, eager_adamw, true)->Apply(sizes);
BENCHMARK(twin_adamw)->Name("adamw/twin")->Apply(sizes);
BENCHMARK_CAPTURE(squared_norm, blocks, squared_norm_blocks)->Apply(sizes);
BENCHMARK_CAPTURE(squared_norm, eager, eager_squared_norm)->Apply(sizes);
BENCHMARK_CAPTURE(squared_norm, twin, squared_norm_blocks_reference)->Apply(sizes);
BENCHMARK_CAPTURE(tree, fused, fused_tree)->Apply(tree_sizes);
BENCHMARK_CAPTURE(tree, pairwise, pairwise)->Apply(tree_sizes);
BENCHMARK_CAPTURE(tree, twin, twin_tree)->Apply(tree_sizes);

}  // namespace
}  // namespace vrwkv::kernels
