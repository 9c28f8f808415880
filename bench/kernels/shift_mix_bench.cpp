// SPDX-License-Identifier: Apache-2.0
// What opens a time mix (six mixes) and a channel mix (one), and the channel mix's activation, forward and
// backward: the fused operators beside the LibTorch operations that one would write without them, and beside
// their slow twins. Same process, same threads.
#include <benchmark/benchmark.h>

#include "bench/kernels/forward_and_backward.h"
#include "kernels/norm_shift_mix/norm_shift_mix.h"
#include "kernels/norm_shift_mix/norm_shift_mix_reference.h"
#include "kernels/relu_squared/relu_squared.h"
#include "kernels/relu_squared/relu_squared_reference.h"

namespace vrwkv::kernels {
namespace {

using bench::Operator;
using Tensors = std::vector<at::Tensor>;

constexpr double kEpsilon = 1e-5;

// In the order x, weight, bias, mixes. The outputs are separate tensors, as products read and differentiate
// them.
Tensors fused_mixes(const Tensors& in) {
  const Tensors mixes(in.begin() + 3, in.end());
  return {norm_shift_mix(in[0], in[1], in[2], kEpsilon, mixes, at::zeros({1}, at::kLong)).mixed};
}

Tensors eager_mixes(const Tensors& in) {
  const at::Tensor& x = in[0];
  const auto parameter = [&](std::size_t i) { return in[i].to(x.scalar_type()); };
  const at::Tensor n = at::layer_norm(x, {x.size(1)}, parameter(1), parameter(2), kEpsilon);
  const at::Tensor difference = at::constant_pad_nd(n, {0, 0, 1, -1}) - n;
  Tensors mixed;
  for (std::size_t i = 3; i < in.size(); ++i) mixed.push_back(at::addcmul(n, difference, parameter(i)));
  return mixed;
}

Tensors twin_mixes(const Tensors& in) {
  const Tensors mixes(in.begin() + 3, in.end());
  return {norm_shift_mix_reference(in[0], in[1], in[2], kEpsilon, mixes, at::zeros({1}, at::kLong)).mixed};
}

Tensors fused_square(const Tensors& in) { return {relu_squared(in[0])}; }

Tensors eager_square(const Tensors& in) { return {at::square(at::relu(in[0]))}; }

Tensors twin_square(const Tensors& in) { return {relu_squared_reference(in[0])}; }

struct Shape {
  std::int64_t tokens, channels;
  at::ScalarType type;

  explicit Shape(const benchmark::State& state)
      : tokens(state.range(0)),
        channels(state.range(1)),
        type(state.range(2) == 16 ? at::kBFloat16 : at::kFloat) {}

  at::Tensor activation(std::int64_t width) const { return at::randn({tokens, width}).to(type); }
  double bytes(int accesses, std::int64_t width) const {
    return static_cast<double>(accesses * tokens * width) * static_cast<double>(c10::elementSize(type));
  }
};

void mixes(benchmark::State& state, int count, const Operator& run, const Operator& rival) {
  const Shape shape(state);
  at::manual_seed(1);
  Tensors inputs = {shape.activation(shape.channels), at::rand({shape.channels}) + 0.5,
                    at::randn({shape.channels})};
  for (int m = 0; m < count; ++m) inputs.push_back(at::rand({shape.channels}));
  // Forward: x, its copy and the mixes; backward: their gradients, x and its gradient.
  bench::time_forward_and_backward(state, run, rival, inputs,
                                   shape.bytes(2 + count + count + 2, shape.channels));
}

/// Of the channel mix's hidden activations, four times as wide.
void square(benchmark::State& state, const Operator& run, const Operator& rival) {
  const Shape shape(state);
  const std::int64_t width = 4 * shape.channels;
  at::manual_seed(1);
  bench::time_forward_and_backward(state, run, rival, {shape.activation(width)}, shape.bytes(2 + 3, width));
}

void small_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"T", "C", "bits"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int bits : {32, 16}) benchmark->Args({48, 128, bits})->Args({2048, 768, bits});
}

/// The last ones fill a GPU.
void shapes(benchmark::internal::Benchmark* benchmark) {
  small_shapes(benchmark);
  for (const int bits : {32, 16}) benchmark->Args({16384, 1024, bits});
}

BENCHMARK_CAPTURE(mixes, six_fused, 6, fused_mixes, eager_mixes)->Apply(shapes);
BENCHMARK_CAPTURE(mixes, six_eager, 6, eager_mixes, fused_mixes)->Apply(shapes);
BENCHMARK_CAPTURE(mixes, six_twin, 6, twin_mixes, fused_mixes)->Apply(small_shapes);
BENCHMARK_CAPTURE(mixes, one_fused, 1, fused_mixes, eager_mixes)->Apply(shapes);
BENCHMARK_CAPTURE(mixes, one_eager, 1, eager_mixes, fused_mixes)->Apply(shapes);
BENCHMARK_CAPTURE(mixes, one_twin, 1, twin_mixes, fused_mixes)->Apply(small_shapes);
BENCHMARK_CAPTURE(square, fused, fused_square, eager_square)->Apply(shapes);
BENCHMARK_CAPTURE(square, eager, eager_square, fused_square)->Apply(shapes);
BENCHMARK_CAPTURE(square, twin, twin_square, fused_square)->Apply(small_shapes);

}  // namespace
}  // namespace vrwkv::kernels
