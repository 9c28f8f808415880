// SPDX-License-Identifier: Apache-2.0
// What the emulation of a GPU costs on a CPU: how many tests of kernels there can be.
#include <benchmark/benchmark.h>

#include <cstdint>

#include "kernels/device/device.h"

namespace vrwkv::kernels::device {
namespace {

constexpr int kRepetitions = 100;  // within a launch

void wait_for_the_block() {
  for (int i = 0; i < kRepetitions; ++i) block_barrier();
}

void exchange(float* out) {
  float x = 1.0F;
  for (int i = 0; i < kRepetitions; ++i) x += shuffle_xor(x, 1);
  *out = x;
}

void load(std::uint32_t* out) {
  std::uint32_t r[4] = {};
  for (int i = 0; i < kRepetitions; ++i) {
    load_matrices<false>(r, static_cast<char*>(shared_memory()) + thread_index() % kWarpLanes * 16);
  }
  *out = r[0];
}

void multiply(float* out) {
  float d[4] = {};
  const std::uint32_t a[4] = {};
  for (int i = 0; i < kRepetitions; ++i) mma_16x8x16(d, a, 0, 0);
  *out = d[0];
}

template <class... Parameters, class... Arguments>
void repeat(benchmark::State& state, void (*kernel)(Parameters...), Arguments... arguments) {
  const int threads = static_cast<int>(state.range(0));
  host::set_schedule({.switch_by_ucontext = state.range(1) != 0});
  for (auto _ : state) launch(kernel, 1, threads, 512, nullptr, arguments...);
  host::set_schedule({});
  // Of one use of the word by one warp, however many the block has.
  const double uses = static_cast<double>(state.iterations()) * kRepetitions * threads / kWarpLanes;
  state.counters["seconds_per_warp"] =
      benchmark::Counter(uses, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"threads", "ucontext"})->Args({32, 0})->Args({384, 0})->Args({384, 1});
}

void emulated_block_barrier(benchmark::State& state) { repeat(state, wait_for_the_block); }
void emulated_shuffle(benchmark::State& state) {
  float out = 0.0F;
  repeat(state, exchange, &out);
}
void emulated_load_matrices(benchmark::State& state) {
  std::uint32_t out = 0;
  repeat(state, load, &out);
}
void emulated_mma(benchmark::State& state) {
  float out = 0.0F;
  repeat(state, multiply, &out);
}
BENCHMARK(emulated_block_barrier)->Apply(shapes);
BENCHMARK(emulated_shuffle)->Apply(shapes);
BENCHMARK(emulated_load_matrices)->Apply(shapes);
BENCHMARK(emulated_mma)->Apply(shapes);

}  // namespace
}  // namespace vrwkv::kernels::device
