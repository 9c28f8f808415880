// SPDX-License-Identifier: Apache-2.0
// What stands before and after the recurrence in a time mix, forward and backward: the fused operators beside
// the LibTorch operations that one would write without them, and beside their slow twins. Same process, same
// threads.
#include <benchmark/benchmark.h>

#include "bench/kernels/forward_and_backward.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate_reference.h"
#include "kernels/time_mix_operands/time_mix_operands.h"
#include "kernels/time_mix_operands/time_mix_operands_reference.h"

namespace vrwkv::kernels {
namespace {

using bench::Operator;
using Tensors = std::vector<at::Tensor>;

constexpr std::int64_t kHeadSize = 64;
constexpr double kGroupEpsilon = 64e-5;

at::Tensor by_head(const at::Tensor& x) { return x.unflatten(1, {-1, kHeadSize}); }

Tensors outputs_of(const TimeMixOperands& all) {
  return {all.r, all.k, all.v, all.a, all.b, all.bonus, all.bonus_v, all.v_first};
}

// In the order r, k, v, iclr, v_gate, v_first, k_k, k_a, r_k.
Tensors fused_operands(const Tensors& in) {
  return outputs_of(time_mix_operands(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], in[8]));
}

Tensors eager_operands(const Tensors& in) {
  const at::Tensor &r = in[0], &k = in[1], &v = in[2], &v_first = in[5];
  const auto type = k.scalar_type();
  const at::Tensor k_k = in[6].to(type), k_a = in[7].to(type), r_k = in[8].to(type);
  const at::Tensor lr = at::sigmoid(in[3]);
  const at::Tensor scaled = by_head(k * k_k);
  const at::Tensor norm = at::linalg_vector_norm(scaled, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
  const at::Tensor kk = (scaled / norm).flatten(1);
  const at::Tensor k_out = k * at::addcmul(1 - k_a, lr, k_a);
  const at::Tensor bonus = (by_head(r) * by_head(k_out) * r_k).sum(-1);
  const at::Tensor v_out = at::lerp(v, v_first, at::sigmoid(in[4]));
  return {r, k_out, v_out, -kk, kk * lr, bonus, v_out, v_first};
}

Tensors twin_operands(const Tensors& in) {
  return outputs_of(
      time_mix_operands_reference(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], in[8]));
}

// In the order y, bonus, v, g, weight, bias.
Tensors fused_gate(const Tensors& in) {
  return {norm_bonus_gate(in[0], in[1], in[2], in[3], in[4], in[5], kGroupEpsilon)};
}

Tensors eager_gate(const Tensors& in) {
  const auto type = in[0].scalar_type();
  // GroupNorm of single tokens is LayerNorm over each head; that has the faster kernels, above all backward.
  const at::Tensor normed = at::layer_norm(by_head(in[0]), {kHeadSize}, {}, {}, kGroupEpsilon).flatten(1);
  const at::Tensor scaled = at::addcmul(in[5].to(type), normed, in[4].to(type));
  const at::Tensor bonus = in[1].to(type).unsqueeze(-1);
  return {at::addcmul(by_head(scaled), bonus, by_head(in[2])).flatten(1) * in[3]};
}

Tensors twin_gate(const Tensors& in) {
  return {norm_bonus_gate_reference(in[0], in[1], in[2], in[3], in[4], in[5], kGroupEpsilon)};
}

struct Shape {
  std::int64_t tokens, channels;
  at::ScalarType type;

  explicit Shape(const benchmark::State& state)
      : tokens(state.range(0)),
        channels(state.range(1)),
        type(state.range(2) == 16 ? at::kBFloat16 : at::kFloat) {}

  Tensors activations(int count) const {
    Tensors tensors;
    for (int i = 0; i < count; ++i) tensors.push_back(at::randn({tokens, channels}).to(type));
    return tensors;
  }
  double bytes(int accesses) const {
    return static_cast<double>(accesses * tokens * channels) * static_cast<double>(c10::elementSize(type));
  }
};

void operands(benchmark::State& state, const Operator& run, const Operator& rival) {
  const Shape shape(state);
  at::manual_seed(1);
  Tensors inputs = shape.activations(6);
  inputs.push_back(at::rand({shape.channels}) + 0.5);
  inputs.push_back(at::rand({shape.channels}) + 0.5);
  inputs.push_back(at::randn({shape.channels / kHeadSize, kHeadSize}) * 0.1);
  bench::time_forward_and_backward(state, run, rival, inputs, shape.bytes(10 + 19));
}

void gate(benchmark::State& state, const Operator& run, const Operator& rival) {
  const Shape shape(state);
  at::manual_seed(1);
  Tensors inputs = shape.activations(3);
  inputs.insert(inputs.begin() + 1, at::randn({shape.tokens, shape.channels / kHeadSize}));
  inputs.push_back(at::rand({shape.channels}) + 0.5);
  inputs.push_back(at::randn({shape.channels}));
  bench::time_forward_and_backward(state, run, rival, inputs, shape.bytes(4 + 7));
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

BENCHMARK_CAPTURE(operands, fused, fused_operands, eager_operands)->Apply(shapes);
BENCHMARK_CAPTURE(operands, eager, eager_operands, fused_operands)->Apply(shapes);
BENCHMARK_CAPTURE(operands, twin, twin_operands, fused_operands)->Apply(small_shapes);
BENCHMARK_CAPTURE(gate, fused, fused_gate, eager_gate)->Apply(shapes);
BENCHMARK_CAPTURE(gate, eager, eager_gate, fused_gate)->Apply(shapes);
BENCHMARK_CAPTURE(gate, twin, twin_gate, fused_gate)->Apply(small_shapes);

}  // namespace
}  // namespace vrwkv::kernels
