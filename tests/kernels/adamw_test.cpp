// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw/adamw.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include <cmath>

#include "common/error.h"
#include "kernels/adamw/adamw_reference.h"
#include "tests/kernels/adamw_raw_call.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

using test::relative_rms;

constexpr AdamwStep kStep{
    .learning_rate = 3e-3, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .step = 1};

struct Parameters {
  at::Tensor master, exp_avg, exp_avg_sq;
};

Parameters fresh_parameters(std::int64_t numel, at::ScalarType type) {
  at::manual_seed(numel);
  return {at::randn({numel}).to(type), at::zeros({numel}, type), at::zeros({numel}, type)};
}

TEST(Adamw, FollowsTheReferenceOverManySteps) {
  constexpr double kScale = 0.37;
  for (const std::int64_t numel : {1, 15, 16, 17, 40001}) {
    Parameters actual = fresh_parameters(numel, at::kFloat);
    Parameters expected = fresh_parameters(numel, at::kDouble);
    AdamwStep step = kStep;
    for (step.step = 1; step.step <= 20; ++step.step) {
      const at::Tensor gradient = at::randn({numel});
      adamw_update(actual.master, actual.exp_avg, actual.exp_avg_sq, gradient, kScale, step);
      adamw_update_reference(expected.master, expected.exp_avg, expected.exp_avg_sq, gradient.to(at::kDouble),
                             kScale, step);
    }
    // Twenty roundings of each value.
    EXPECT_LE(relative_rms(actual.master, expected.master), 1e-6) << numel;
    EXPECT_LE(relative_rms(actual.exp_avg, expected.exp_avg), 1e-6) << numel;
    EXPECT_LE(relative_rms(actual.exp_avg_sq, expected.exp_avg_sq), 1e-6) << numel;
  }
}

TEST(Adamw, AgreesWithLibTorchsOptimizer) {
  Parameters ours = fresh_parameters(1000, at::kFloat);
  at::Tensor theirs = ours.master.clone().requires_grad_();
  torch::optim::AdamW optimizer({theirs}, torch::optim::AdamWOptions(kStep.learning_rate)
                                              .betas({kStep.beta1, kStep.beta2})
                                              .eps(kStep.epsilon)
                                              .weight_decay(kStep.weight_decay));
  AdamwStep step = kStep;
  for (step.step = 1; step.step <= 10; ++step.step) {
    const at::Tensor gradient = at::randn({1000});
    theirs.mutable_grad() = gradient.clone();
    optimizer.step();
    adamw_update(ours.master, ours.exp_avg, ours.exp_avg_sq, gradient, 1.0, step);
  }
  EXPECT_LE(relative_rms(ours.master, theirs), 1e-6);
}

TEST(Adamw, GivesAnElementTheSameBitsInEveryShard) {
  constexpr std::int64_t kNumel = 70001;
  Parameters whole = fresh_parameters(kNumel, at::kFloat);
  Parameters parts = fresh_parameters(kNumel, at::kFloat);
  const at::Tensor gradient = at::randn({kNumel});
  adamw_update(whole.master, whole.exp_avg, whole.exp_avg_sq, gradient, 0.5, kStep);
  for (std::int64_t begin = 0; begin < kNumel;) {
    const std::int64_t count = std::min<std::int64_t>(kNumel - begin, 1 + begin % 4099);
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, begin, count); };
    at::Tensor master = part(parts.master), exp_avg = part(parts.exp_avg),
               exp_avg_sq = part(parts.exp_avg_sq);
    adamw_update(master, exp_avg, exp_avg_sq, part(gradient), 0.5, kStep);
    begin += count;
  }
  EXPECT_TRUE(whole.master.equal(parts.master));
  EXPECT_TRUE(whole.exp_avg_sq.equal(parts.exp_avg_sq));
}

TEST(Adamw, GivesTheSameBitsForEveryNumberOfThreads) {
  const test::AdamwTensors start = test::random_adamw_tensors(70001);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = test::adamw_results(cpu::adamw, start, Bf16Rounding::kStochastic);
  at::set_num_threads(3);
  const auto three = test::adamw_results(cpu::adamw, start, Bf16Rounding::kStochastic);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(three[i].equal(one[i])) << i;
}

using AdamwRange = void (*)(const AdamwCall&, Bf16Rounding, std::int64_t, std::int64_t);

std::vector<at::Tensor> results_of_range(AdamwRange range, Bf16Rounding rounding) {
  return test::adamw_results(
      [range](const AdamwCall& call, Bf16Rounding to) { range(call, to, 0, call.count); },
      test::random_adamw_tensors(1003), rounding);
}

VRWKV_TEST_EACH_INSTRUCTION_SET(AdamwInstructionSets, GivesTheBitsOfAll, {
  for (const Bf16Rounding rounding :
       {Bf16Rounding::kNotAtAll, Bf16Rounding::kNearest, Bf16Rounding::kStochastic}) {
    const auto expected = test::adamw_results(cpu::adamw, test::random_adamw_tensors(1003), rounding);
    const auto actual = results_of_range(set::adamw_range, rounding);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(actual[i].equal(expected[i])) << i;
  }
})

constexpr AdamwStep kNoChange{
    .learning_rate = 0.0, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.0, .step = 1};

/// `values` as an update that changes nothing writes them in bf16.
at::Tensor rounded(at::Tensor values, const Bf16Parameters& how, const AdamwStep& step = kNoChange) {
  at::Tensor exp_avg = at::zeros_like(values), exp_avg_sq = at::zeros_like(values);
  Bf16Parameters parameters = how;
  parameters.to = at::full(values.sizes(), NAN, at::kBFloat16);
  adamw_update(values, exp_avg, exp_avg_sq, at::zeros_like(values), 1.0, step, parameters);
  return parameters.to;
}

TEST(AdamwInBf16, RoundsToTheNearest) {
  const at::Tensor values = at::randn({1001});
  EXPECT_TRUE(rounded(values, {}).equal(values.to(at::kBFloat16)));
}

TEST(AdamwInBf16, RoundsByChanceToANeighbourAndLosesNothingOnAverage) {
  constexpr double kUlp = 1.0 / 128;  // from 1 to the next bf16 number
  constexpr std::int64_t kCount = 100000;
  for (const double part : {0.25, 0.5, 0.875}) {
    for (const double sign : {1.0, -1.0}) {
      const at::Tensor up = rounded(at::full({kCount}, sign * (1.0 + part * kUlp)),
                                    {.stochastic = true, .seed = 3}) == sign * (1.0 + kUlp);
      const at::Tensor down =
          rounded(at::full({kCount}, sign * (1.0 + part * kUlp)), {.stochastic = true, .seed = 3}) == sign;
      EXPECT_TRUE(up.logical_xor(down).all().item<bool>()) << "neither neighbour, or not the same twice";
      // Five standard deviations of a fair draw.
      EXPECT_NEAR(up.to(at::kDouble).mean().item<double>(), part, 5 * std::sqrt(part * (1 - part) / kCount));
    }
  }
  const at::Tensor exact = at::randn({1000}).to(at::kBFloat16);
  EXPECT_TRUE(rounded(exact.to(at::kFloat), {.stochastic = true}).equal(exact));
  EXPECT_EQ(to_bf16_by_chance(INFINITY, 0xFFFF).bits, 0x7F80);
  EXPECT_EQ(to_bf16_by_chance(-INFINITY, 0xFFFF).bits, 0xFF80);
  EXPECT_TRUE(std::isnan(to_float(to_bf16_by_chance(NAN, 0xFFFF))));
}

TEST(AdamwInBf16, DrawsAnewForEverySeedStepAndElement) {
  const at::Tensor values = at::full({4096}, 1.0 + 0.5 / 128);
  const auto draws = [&](const Bf16Parameters& how, std::int64_t step = 1) {
    AdamwStep of_step = kNoChange;
    of_step.step = step;
    return rounded(values, how, of_step) > 1.0;
  };
  const at::Tensor first = draws({.stochastic = true, .seed = 1});
  for (const at::Tensor& other :
       {draws({.stochastic = true, .seed = 2}), draws({.stochastic = true, .seed = 1}, 2),
        draws({.stochastic = true, .seed = 1, .first_element = 4096}),
        draws({.stochastic = true, .seed = 1, .first_element = std::int64_t{1} << 32}), first.roll(1)}) {
    // Fair and unrelated coins agree on half of 4,096 throws, within five standard deviations.
    EXPECT_NEAR(first.eq(other).to(at::kDouble).mean().item<double>(), 0.5, 5 * 0.5 / 64);
  }
}

TEST(AdamwInBf16, DoesNotDependOnWhereShardsAreCut) {
  const at::Tensor values = at::randn({5000});
  const std::int64_t first = (std::int64_t{1} << 32) - 2500;  // the higher half of the numbers changes within
  const at::Tensor whole = rounded(values.clone(), {.stochastic = true, .seed = 9, .first_element = first});
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    return rounded(values.slice(0, begin, end).clone(),
                   {.stochastic = true, .seed = 9, .first_element = first + begin});
  };
  EXPECT_TRUE(at::cat({part(0, 17), part(17, 2501), part(2501, 5000)}).equal(whole));
}

TEST(Adamw, RefusesWhatDoesNotFit) {
  Parameters p = fresh_parameters(8, at::kFloat);
  const at::Tensor gradient = at::zeros({8});
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({7}), 1.0, kStep), ShapeError);
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({8, 1}), 1.0, kStep), ShapeError);
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({8}, at::kDouble), 1.0, kStep),
               ShapeError);
  EXPECT_THROW(
      adamw_update(p.master, p.exp_avg, p.exp_avg_sq, at::zeros({16}).slice(0, 0, 16, 2), 1.0, kStep),
      ShapeError);
  for (const at::Tensor& wrong :
       {at::zeros({8}), at::zeros({7}, at::kBFloat16), at::zeros({16}, at::kBFloat16).slice(0, 0, 16, 2)}) {
    EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, gradient, 1.0, kStep, {.to = wrong}),
                 ShapeError);
  }
  AdamwStep zeroth = kStep;
  zeroth.step = 0;
  EXPECT_THROW(adamw_update(p.master, p.exp_avg, p.exp_avg_sq, gradient, 1.0, zeroth), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
