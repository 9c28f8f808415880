// SPDX-License-Identifier: Apache-2.0
// Every kernel on CUDA tensors against its reference. Needs a GPU; elsewhere the emulation tests stand in.
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include "kernels/adamw/adamw.h"
#include "kernels/cross_entropy/head_cross_entropy_reference.h"
#include "kernels/relu_squared/relu_squared.h"
#include "kernels/relu_squared/relu_squared_reference.h"
#include "kernels/squared_norm/squared_norm.h"
#include "kernels/tree_sum/tree_sum_reference.h"
#include "tests/kernels/norm_bonus_gate_cases.h"
#include "tests/kernels/norm_shift_mix_cases.h"
#include "tests/kernels/time_mix_operands_cases.h"
#include "tests/kernels/wkv7_cases.h"

namespace vrwkv::kernels {
namespace {

using test::relative_rms;
using test::Wkv7Case;

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU here";
    // LibTorch's products may use TF32, which no tolerance here expects.
    at::globalContext().setFloat32MatmulPrecision("highest");
  }
};

void move_to_gpu(std::vector<at::Tensor>& tensors) {
  for (at::Tensor& tensor : tensors)
    if (tensor.defined()) tensor = tensor.cuda();
}

class CudaWkv7 : public Cuda, public testing::WithParamInterface<Wkv7Case> {};

TEST_P(CudaWkv7, MatchesReferenceForwardAndBackward) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/23);
  const auto expected = test::wkv7_results(wkv7_reference, c, tensors);
  test::Wkv7Tensors on_gpu = tensors;
  move_to_gpu(on_gpu.inputs);
  if (c.carries_state) on_gpu.initial_state = tensors.initial_state.cuda();
  on_gpu.gradient_y = tensors.gradient_y.cuda();
  on_gpu.gradient_final_state = tensors.gradient_final_state.cuda();
  const test::NanFilledFreshMemory fresh;
  std::vector<at::Tensor> actual = test::wkv7_results(wkv7, c, on_gpu);
  for (at::Tensor& tensor : actual) tensor = tensor.cpu();
  test::expect_wkv7_results_near(actual, expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaWkv7,
                         testing::Values(Wkv7Case{1, 1, 1, 64, {0}, false},             //
                                         Wkv7Case{2, 48, 3, 64, {0}, false},            //
                                         Wkv7Case{1, 63, 2, 64, {0, 1, 17, 50}, true},  //
                                         Wkv7Case{4, 512, 12, 64, {0, 100}, false},     //
                                         Wkv7Case{1, 33, 2, 32, {0, 20}, true},         //
                                         Wkv7Case{1, 18, 1, 64, {0, 1}, true, DecayInput::kRaw},
                                         Wkv7Case{1, 18, 1, 128, {0, 3}, true}),
                         test::wkv7_case_name);

class CudaTimeMixOperands : public Cuda, public testing::WithParamInterface<test::TimeMixOperandsCase> {};

TEST_P(CudaTimeMixOperands, MatchesReferenceForwardAndBackward) {
  const test::TimeMixOperandsCase& c = GetParam();
  test::TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/24);
  const auto expected = test::time_mix_operands_results(time_mix_operands_reference, c.head_size, tensors);
  move_to_gpu(tensors.inputs);
  move_to_gpu(tensors.gradients);
  const test::NanFilledFreshMemory fresh;
  auto actual = test::time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  for (at::Tensor& tensor : actual) tensor = tensor.cpu();
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
  auto actual = test::norm_bonus_gate_results(norm_bonus_gate, tensors);
  for (at::Tensor& tensor : actual) tensor = tensor.cpu();
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
  for (at::Tensor* tensor : {&on_gpu.x, &on_gpu.weight, &on_gpu.bias, &on_gpu.gradient})
    *tensor = tensor->cuda();
  if (c.has_previous) on_gpu.previous = tensors.previous.cuda();
  move_to_gpu(on_gpu.mixes);
  const test::NanFilledFreshMemory fresh;
  auto actual = test::norm_shift_mix_results(norm_shift_mix, c, on_gpu);
  for (at::Tensor& tensor : actual) tensor = tensor.cpu();
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

TEST_F(Cuda, AdamwGivesTheCpusBits) {
  const AdamwStep step{
      .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .step = 3};
  const at::Tensor gradient = at::randn({70001});
  at::Tensor master = at::randn({70001}), exp_avg = at::randn({70001}), exp_avg_sq = at::rand({70001});
  Bf16Parameters parameters{.to = at::zeros({70001}, at::kBFloat16), .stochastic = true, .seed = 5};
  at::Tensor master_gpu = master.cuda(), exp_avg_gpu = exp_avg.cuda(), exp_avg_sq_gpu = exp_avg_sq.cuda();
  Bf16Parameters parameters_gpu = parameters;
  parameters_gpu.to = parameters.to.cuda();
  adamw_update(master, exp_avg, exp_avg_sq, gradient, 0.5, step, parameters);
  adamw_update(master_gpu, exp_avg_gpu, exp_avg_sq_gpu, gradient.cuda(), 0.5, step, parameters_gpu);
  EXPECT_TRUE(master_gpu.cpu().equal(master));
  EXPECT_TRUE(exp_avg_gpu.cpu().equal(exp_avg));
  EXPECT_TRUE(exp_avg_sq_gpu.cpu().equal(exp_avg_sq));
  EXPECT_TRUE(parameters_gpu.to.cpu().equal(parameters.to));
}

TEST_F(Cuda, SquaredNormGivesTheCpusBits) {
  const at::Tensor flat = at::randn({2 * kNormBlock + 5});
  EXPECT_TRUE(squared_norm_blocks(flat.cuda()).cpu().equal(squared_norm_blocks(flat)));
}

TEST_F(Cuda, TreeSumGivesTheCpusBits) {
  const std::vector<at::Tensor> values = {at::randn({5001}), at::randn({5001}), at::randn({5001})};
  const std::vector<Merge> merges = {{1, 2}, {0, 1}};
  at::Tensor sum = at::empty({5001}, at::kCUDA);
  tree_sum({values[0].cuda(), values[1].cuda(), values[2].cuda()}, merges, sum);
  EXPECT_TRUE(sum.cpu().equal(tree_sum_reference(values, merges)));
}

}  // namespace
}  // namespace vrwkv::kernels
