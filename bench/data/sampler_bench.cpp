// SPDX-License-Identifier: Apache-2.0
// How long it takes to know which sample comes next, and to plan a step.
#include <benchmark/benchmark.h>

#include "data/plan/step_plan.h"
#include "data/sampler.h"
#include "tests/support/mixture_lengths.h"

namespace vrwkv::data {
namespace {

void seek(benchmark::State& state) {
  const Sampler sampler(state.range(0), 42,
                        state.range(1) == 0 ? SampleOrder::kBijection : SampleOrder::kVisualRwkv);
  std::int64_t position = 1'000'000'000;
  for (auto _ : state) benchmark::DoNotOptimize(sampler.at(position += 7919));
}
BENCHMARK(seek)
    ->ArgNames({"samples", "visualrwkv"})
    ->Args({665298, 0})
    ->Args({1'000'000'000, 0})
    ->Args({665298, 1});

/// Steps of 8 micro-batches a rank, 4 samples each.
void plan(benchmark::State& state) {
  const Sampler sampler(test::kMixtureSamples, 42);
  const auto outline_of = [](std::int64_t record) -> SampleOutline {
    const auto [text, images] = test::mixture_length(record);
    return {text + 1024 * images, images, false};
  };
  const std::int64_t micro_batches = 8 * state.range(0);
  const StepPlanner planner(
      [&](std::int64_t position) { return sampler.at(position); }, outline_of,
      Substitution(test::kMixtureSamples),
      {.samples = 4 * micro_batches, .micro_batches = micro_batches, .image_cost = 300});
  std::int64_t position = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(planner.plan(position));
    position += 4 * micro_batches;
  }
}
BENCHMARK(plan)->ArgName("ranks")->Arg(8)->Arg(64)->Arg(1024)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vrwkv::data

BENCHMARK_MAIN();
