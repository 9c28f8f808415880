// SPDX-License-Identifier: Apache-2.0
// Every kernel but the recurrences on CUDA tensors against its reference. Needs a GPU; elsewhere the
// emulation tests stand in.
#include <thread>

#include "common/flush_to_zero.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/map_attention.h"
#include "kernels/attention/map_attention_reference.h"
#include "kernels/cross_entropy/head_cross_entropy_reference.h"
#include "kernels/relu_squared/relu_squared.h"
#include "kernels/relu_squared/relu_squared_reference.h"
#include "kernels/sequence_bounds.h"
#include "kernels/squared_norm/squared_norm.h"
#include "kernels/tree_sum/tree_sum_reference.h"
#include "tests/kernels/cuda_testing.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/norm_bonus_gate_cases.h"
#include "tests/kernels/norm_shift_mix_cases.h"
#include "tests/kernels/time_mix_operands_cases.h"
#include "tests/kernels/tree_sum_cases.h"

namespace vrwkv::kernels {
namespace {

using test::move_to_gpu;
using test::relative_rms;
using test::same_bits;

using Cuda = test::CudaTest;

class CudaTimeMixOperands : public Cuda, public testing::WithParamInterface<test::TimeMixOperandsCase> {};

TEST_P(CudaTimeMixOperands, MatchesReferenceForwardAndBackward) {
  const test::TimeMixOperandsCase& c = GetParam();
  test::TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/24);
  const auto expected = test::time_mix_operands_results(time_mix_operands_reference, tensors);
  move_to_gpu(tensors.inputs);
  move_to_gpu(tensors.gradients);
  const test::NanFilledFreshMemory fresh;
  const auto actual = test::on_cpu(test::time_mix_operands_results(time_mix_operands, tensors));
  test::expect_time_mix_operands_near(actual, expected, c.mixes_values);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaTimeMixOperands,
                         testing::Values(test::TimeMixOperandsCase{1, 1, 64, true, at::kFloat},
                                         test::TimeMixOperandsCase{17, 3, 32, false, at::kFloat},
                                         test::TimeMixOperandsCase{70, 3, 128, true, at::kFloat},
                                         test::TimeMixOperandsCase{513, 12, 64, true, at::kBFloat16}),
                         test::time_mix_operands_case_name);

class CudaNormBonusGate : public Cuda, public testing::WithParamInterface<test::NormBonusGateCase> {};

TEST_P(CudaNormBonusGate, MatchesReferenceForwardAndBackward) {
  test::NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors(GetParam(), /*seed=*/25);
  const auto expected = test::norm_bonus_gate_results(norm_bonus_gate_reference, tensors);
  move_to_gpu(tensors.inputs);
  tensors.gradient = tensors.gradient.cuda();
  const test::NanFilledFreshMemory fresh;
  const auto actual = test::on_cpu(test::norm_bonus_gate_results(norm_bonus_gate, tensors));
  test::expect_norm_bonus_gate_near(actual, expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaNormBonusGate,
                         testing::Values(test::NormBonusGateCase{1, 1, 64, at::kFloat},
                                         test::NormBonusGateCase{17, 3, 32, at::kFloat},
                                         test::NormBonusGateCase{70, 3, 128, at::kFloat},
                                         test::NormBonusGateCase{513, 12, 64, at::kBFloat16}),
                         test::norm_bonus_gate_case_name);

class CudaNormShiftMix : public Cuda, public testing::WithParamInterface<test::NormShiftMixCase> {};

TEST_P(CudaNormShiftMix, MatchesReferenceForwardAndBackward) {
  const test::NormShiftMixCase& c = GetParam();
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/26);
  const auto expected = test::expected_norm_shift_mix(c, tensors);
  test::NormShiftMixTensors on_gpu = tensors;
  for (at::Tensor* tensor : {&on_gpu.x, &on_gpu.weight, &on_gpu.bias, &on_gpu.gradient, &on_gpu.more_x})
    *tensor = tensor->cuda();
  if (c.has_previous) on_gpu.previous = tensors.previous.cuda();
  move_to_gpu(on_gpu.mixes);
  const test::NanFilledFreshMemory fresh;
  const auto actual = test::on_cpu(test::norm_shift_mix_results(norm_shift_mix, c, on_gpu));
  test::expect_norm_shift_mix_near(actual, expected);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CudaNormShiftMix,
    testing::Values(test::NormShiftMixCase{1, 16, 6, {0}, false, at::kFloat},
                    test::NormShiftMixCase{17, 304, 6, {0, 1, 4, 7, 8, 15}, true, at::kFloat},
                    test::NormShiftMixCase{100, 4096, 6, {0, 64}, true, at::kBFloat16},
                    test::NormShiftMixCase{4100, 768, 6, {0, 1, 999, 1000, 2048}, true, at::kBFloat16},
                    test::NormShiftMixCase{4100, 768, 1, {0, 4099}, false, at::kBFloat16}),
    test::norm_shift_mix_case_name);

TEST_F(Cuda, NormShiftMixTakesWhatLiesOffItsBoundaries) {
  const test::NormShiftMixCase c{6, 32, 1, {0, 2}, false, at::kFloat};
  test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/27);
  const auto expected = test::expected_norm_shift_mix(c, tensors);
  const auto shifted = [](const at::Tensor& x) {
    return at::cat({at::zeros({1}), x.flatten()}).cuda().narrow(0, 1, x.numel()).view(x.sizes());
  };
  const at::Tensor mixed = norm_shift_mix(shifted(tensors.x), shifted(tensors.weight), shifted(tensors.bias),
                                          test::kNormShiftMixEpsilon, {shifted(tensors.mixes[0])},
                                          test::int64_list(c.sequence_starts))
                               .mixed;
  EXPECT_LE(relative_rms(mixed.cpu(), expected[0]), 2e-6);
}

TEST_F(Cuda, ReluSquaredGivesTheReferencesBits) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = at::randn({4099}).to(type), gradient = at::randn({4099}).to(type);
    const at::Tensor leaf = x.cuda().requires_grad_(), y = relu_squared(leaf);
    const at::Tensor d_x = torch::autograd::grad({y}, {leaf}, {gradient.cuda()})[0];
    const at::Tensor relu = x.to(at::kDouble).relu();
    EXPECT_TRUE(y.cpu().equal(relu_squared_reference(x).to(at::kFloat).to(type)));
    EXPECT_TRUE(d_x.cpu().equal((2 * relu * gradient.to(at::kDouble)).to(at::kFloat).to(type)));
  }
}

TEST_F(Cuda, HeadCrossEntropyMatchesReference) {
  const at::Tensor hidden = at::randn({130, 16}), head = at::randn({65536, 16}), weights = at::rand({130});
  const at::Tensor targets = at::randint(65536, {130}, at::kLong);
  targets[3] = kNoTarget;
  const HeadLoss expected = head_cross_entropy_reference(hidden, head, targets, weights, 1e-3);
  const HeadLoss actual =
      head_cross_entropy(hidden.cuda(), head.cuda(), targets.cuda(), weights.cuda(), 1e-3, true, true);
  EXPECT_LE(relative_rms(actual.losses.cpu(), expected.losses), 1e-4);
  EXPECT_LE(relative_rms(actual.d_hidden.cpu(), expected.d_hidden), 1e-4);
  EXPECT_LE(relative_rms(actual.d_head.cpu(), expected.d_head), 1e-4);
}

TEST_F(Cuda, HeadCrossEntropyTakesBf16OverSeveralTiles) {
  const at::Tensor hidden = at::randn({3000, 32}).to(at::kBFloat16), weights = at::rand({3000});
  const at::Tensor head = at::randn({9000, 32}).to(at::kBFloat16);
  const at::Tensor targets = at::randint(9000, {3000}, at::kLong);
  const HeadLoss expected = head_cross_entropy_reference(hidden, head, targets, weights, 1e-3);
  const HeadLoss actual =
      head_cross_entropy(hidden.cuda(), head.cuda(), targets.cuda(), weights.cuda(), 1e-3, true, true);
  EXPECT_LE(relative_rms(actual.losses.cpu(), expected.losses), 1e-4);
  // The logits' gradient and d_hidden are rounded to bf16.
  EXPECT_LE(relative_rms(actual.d_hidden.cpu(), expected.d_hidden), 5e-3);
  EXPECT_LE(relative_rms(actual.d_head.cpu(), expected.d_head), 5e-3);
}

/// While it lives, LibTorch's attention must not fall back on a matrix of all scores: it throws instead.
class NoMatrixOfScores {
 public:
  NoMatrixOfScores() { at::globalContext().setSDPUseMath(false); }
  NoMatrixOfScores(const NoMatrixOfScores&) = delete;
  NoMatrixOfScores& operator=(const NoMatrixOfScores&) = delete;
  ~NoMatrixOfScores() { at::globalContext().setSDPUseMath(true); }
};

TEST_F(Cuda, MapAttentionMatchesExplicitScoresAndMakesNone) {
  const NoMatrixOfScores fused_only;
  const at::Tensor qkv = at::randn({1, 20, 17, 3, 2, 64}), outside = at::randn({3, 2, 64});
  const at::Tensor row_table = at::randn({27, 64}) * 0.1, column_table = at::randn({27, 64}) * 0.1;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto in = [&](const at::Tensor& x) { return x.to(type); };
    const auto exact = [&](const at::Tensor& x) { return in(x).to(at::kDouble); };
    const at::Tensor actual =
        map_attention(in(qkv).cuda(), in(row_table).cuda(), in(column_table).cuda(), in(outside).cuda());
    const at::Tensor expected =
        map_attention_reference(exact(qkv), exact(row_table), exact(column_table), exact(outside));
    // Position terms, weights and results are rounded to bf16, by up to 2^-9 each: 2.9e-3 in all.
    EXPECT_LE(relative_rms(actual.cpu(), expected), type == at::kFloat ? 1e-5 : 4e-3);
  }
}

void expect_the_cpus_adamw(const at::Tensor& gradient, at::Tensor master, at::Tensor exp_avg,
                           at::Tensor exp_avg_sq) {
  const AdamwStep step{
      .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .step = 3};
  Bf16Parameters parameters{.to = at::zeros(gradient.sizes(), at::kBFloat16), .stochastic = true, .seed = 5};
  at::Tensor master_gpu = master.cuda(), exp_avg_gpu = exp_avg.cuda(), exp_avg_sq_gpu = exp_avg_sq.cuda();
  Bf16Parameters parameters_gpu = parameters;
  parameters_gpu.to = parameters.to.cuda();
  adamw_update(master, exp_avg, exp_avg_sq, gradient, 0.5, step, parameters);
  adamw_update(master_gpu, exp_avg_gpu, exp_avg_sq_gpu, gradient.cuda(), 0.5, step, parameters_gpu);
  EXPECT_TRUE(same_bits(master_gpu, master));
  EXPECT_TRUE(same_bits(exp_avg_gpu, exp_avg));
  EXPECT_TRUE(same_bits(exp_avg_sq_gpu, exp_avg_sq));
  EXPECT_TRUE(same_bits(parameters_gpu.to, parameters.to));
}

TEST_F(Cuda, AdamwGivesTheCpusBits) {
  expect_the_cpus_adamw(at::randn({70001}), at::randn({70001}), at::randn({70001}), at::rand({70001}));
}

TEST_F(Cuda, SquaredNormGivesTheCpusBits) {
  const at::Tensor flat = at::randn({2 * kNormBlock + 5});
  EXPECT_TRUE(same_bits(squared_norm_blocks(flat.cuda()), squared_norm_blocks(flat)));
}

TEST_F(Cuda, TreeSumGivesTheCpusBits) {
  for (const test::TreeSumCase& c : test::kTreeSumCases) {
    const std::vector<at::Tensor> values = test::random_values(c);
    std::vector<at::Tensor> on_device;
    for (const at::Tensor& value : values) on_device.push_back(value.cuda());
    at::Tensor sum = at::empty({c.count}, at::kCUDA);
    tree_sum(on_device, c.merges, sum);
    EXPECT_TRUE(sum.cpu().equal(tree_sum_reference(values, c.merges))) << c.values;
  }
}

/// In a thread of its own, because a thread that flushes them goes on doing so.
TEST_F(Cuda, OptimizersPassesGiveTheBitsOfACpuThatFlushesDenormals) {
  std::thread([] {
    flush_denormals_to_zero();
    // Half of them are denormal.
    const auto tiny = [] { return at::randint(1, 1 << 24, {300}, at::kInt).view(at::kFloat); };
    expect_the_cpus_adamw(tiny(), tiny(), tiny(), tiny());
    const at::Tensor flat = tiny(), other = -tiny();
    at::Tensor sum = at::empty({300}), sum_gpu = sum.cuda();
    const std::vector<Merge> merges = {{0, 1}};
    EXPECT_TRUE(same_bits(squared_norm_blocks(flat.cuda()), squared_norm_blocks(flat)));
    tree_sum({flat, other}, merges, sum);
    tree_sum({flat.cuda(), other.cuda()}, merges, sum_gpu);
    EXPECT_TRUE(same_bits(sum_gpu, sum));
  }).join();
}

TEST_F(Cuda, SequenceBoundsAreCopiedOnceForEachListAndFollowIt) {
  const at::Device gpu(at::kCUDA, 0);
  const at::Tensor starts = test::int64_list({0, 3, 9});
  const at::Tensor bounds = sequence_bounds(starts, 12, gpu);
  EXPECT_TRUE(bounds.cpu().equal(test::int64_list({0, 3, 9, 12})));
  EXPECT_TRUE(sequence_bounds(starts.detach(), 12, gpu).is_same(bounds));
  EXPECT_TRUE(sequence_bounds(starts, 13, gpu).cpu().equal(test::int64_list({0, 3, 9, 13})));
  EXPECT_TRUE(sequence_bounds(starts.narrow(0, 0, 2), 12, gpu).cpu().equal(test::int64_list({0, 3, 12})));
  at::Tensor(starts)[1].fill_(4);
  EXPECT_TRUE(sequence_bounds(starts, 12, gpu).cpu().equal(test::int64_list({0, 4, 9, 12})));
  EXPECT_TRUE(
      sequence_bounds(test::int64_list({0, 5, 9}), 12, gpu).cpu().equal(test::int64_list({0, 5, 9, 12})));
}

}  // namespace
}  // namespace vrwkv::kernels
