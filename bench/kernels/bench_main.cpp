// SPDX-License-Identifier: Apache-2.0
// What every kernel benchmark does: Google Benchmark's options and --device.
#include <benchmark/benchmark.h>

#include "bench/kernels/bench_device.h"
#include "common/flush_to_zero.h"

int main(int argc, char** argv) {
  vrwkv::flush_denormals_to_zero();
  vrwkv::bench::take_device(&argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
