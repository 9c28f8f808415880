// SPDX-License-Identifier: Apache-2.0
#include "kernels/time_mix_operands/time_mix_operands.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/time_mix_operands_cases.h"

namespace vrwkv::kernels {
namespace {

using test::relative_rms;
using test::time_mix_operands_results;
using test::TimeMixOperandsCase;
using test::TimeMixOperandsTensors;

class TimeMixOperandsTest : public testing::TestWithParam<TimeMixOperandsCase> {};

TEST_P(TimeMixOperandsTest, MatchesReferenceForwardAndBackward) {
  const TimeMixOperandsCase& c = GetParam();
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/31);
  const auto expected = time_mix_operands_results(time_mix_operands_reference, c.head_size, tensors);
  const test::NanFilledFreshMemory fresh;
  const auto actual = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(actual[i].scalar_type(), c.type) << i;
  test::expect_time_mix_operands_near(actual, expected, c.mixes_values);
}

TEST_P(TimeMixOperandsTest, GivesTheSameBitsForAnyNumberOfThreads) {
  const TimeMixOperandsCase& c = GetParam();
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/32);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  at::set_num_threads(3);
  const auto together = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(together[i].equal(alone[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, TimeMixOperandsTest,
                         testing::Values(TimeMixOperandsCase{1, 1, 64, true, at::kFloat},    //
                                         TimeMixOperandsCase{2, 3, 16, true, at::kFloat},    //
                                         TimeMixOperandsCase{17, 12, 64, true, at::kFloat},  //
                                         TimeMixOperandsCase{64, 3, 128, true, at::kFloat},  //
                                         TimeMixOperandsCase{70, 1, 48, true, at::kFloat},   //
                                         TimeMixOperandsCase{17, 3, 32, false, at::kFloat},  //
                                         TimeMixOperandsCase{1, 12, 64, true, at::kBFloat16},
                                         TimeMixOperandsCase{17, 3, 16, true, at::kBFloat16},
                                         TimeMixOperandsCase{200, 12, 64, true, at::kBFloat16},
                                         TimeMixOperandsCase{64, 3, 128, false, at::kBFloat16}),
                         test::time_mix_operands_case_name);

TEST(TimeMixOperandsKeys, BelowTheLeastNormSendNoGradientThroughIt) {
  const TimeMixOperandsCase c{4, 2, 64, true, at::kFloat};
  TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/33);
  // Head 0 of the first tokens: no key, a tiny one, one so small that its squares vanish.
  at::Tensor keys = tensors.inputs[0].narrow(1, 0, 64);
  keys[0].zero_();
  keys[1].mul_(1e-15);
  keys[2].mul_(1e-30);
  const auto expected = time_mix_operands_results(time_mix_operands_reference, c.head_size, tensors);
  const auto actual = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(actual[i].isfinite().all().item<bool>()) << i;
    if (actual[i].dim() != 2) continue;
    // Each token's head apart: the clamped ones have gradients 1e12 times as large.
    for (std::int64_t t = 0; t < c.tokens; ++t)
      for (std::int64_t head = 0; head < c.heads; ++head) {
        const auto part = [&](const at::Tensor& x) { return x[t].narrow(0, head * 64, 64); };
        EXPECT_LE(relative_rms(part(actual[i]), part(expected[i])), 2e-6) << i << " " << t << " " << head;
      }
  }
}

TEST(TimeMixOperandsGates, StayExactWhereTheySaturate) {
  const TimeMixOperandsCase c{9, 1, 16, true, at::kFloat};
  TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/34);
  const at::Tensor gates =
      at::tensor({-1e4, -100., -80., -20., 0., 20., 80., 100., 1e4}, at::kFloat).unsqueeze(1).expand({9, 16});
  tensors.inputs[2] = gates;
  tensors.inputs[3] = -gates;
  const auto expected = time_mix_operands_results(time_mix_operands_reference, c.head_size, tensors);
  const auto actual = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  test::expect_time_mix_operands_near(actual, expected, c.mixes_values);
  // Token by token, where the derivatives of the sigmoids are still normal numbers.
  for (const std::size_t i : {6, 7})
    for (std::int64_t t = 2; t < 7; ++t)
      EXPECT_LE(relative_rms(actual[i][t], expected[i][t]), 2e-6) << i << " " << t;
}

TEST(TimeMixOperandsBlock0, HandsTheValuesOn) {
  const TimeMixOperandsCase c{3, 1, 16, false, at::kFloat};
  const auto x = test::random_time_mix_operands_tensors(c, /*seed=*/35).inputs;
  EXPECT_TRUE(time_mix_operands(x[0], x[1], x[2], {}, {}, x[5], x[6], 16).v.is_same(x[1]));
}

TEST(TimeMixOperandsFirstValues, HaveTheGradientsThatComeByEitherOfTheirReaders) {
  const TimeMixOperandsCase c{5, 2, 16, true, at::kFloat};
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/39);
  const auto& x = tensors.inputs;
  const at::Tensor v_first = x[4].clone().requires_grad_(), more = tensors.gradients[4];
  const TimeMixOperands operands = time_mix_operands(x[0], x[1], x[2], x[3], v_first, x[5], x[6], 16);
  const auto gradient = [&](const std::vector<at::Tensor>& outputs,
                            const std::vector<at::Tensor>& gradients) {
    return torch::autograd::grad(outputs, {v_first}, gradients, /*retain_graph=*/true)[0];
  };
  EXPECT_TRUE(gradient({operands.v_first}, {more}).equal(more));
  EXPECT_LE(relative_rms(gradient({operands.v, operands.v_first}, {tensors.gradients[1], more}),
                         gradient({operands.v}, {tensors.gradients[1]}) + more),
            2e-6);
}

TEST(TimeMixOperandsInputs, MayBeStrided) {
  const TimeMixOperandsCase c{5, 2, 16, true, at::kFloat};
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/36);
  TimeMixOperandsTensors strided = tensors;
  for (std::size_t i = 0; i < 5; ++i) strided.inputs[i] = tensors.inputs[i].t().contiguous().t();
  for (at::Tensor& gradient : strided.gradients) gradient = gradient.t().contiguous().t();
  const auto expected = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  const auto actual = time_mix_operands_results(time_mix_operands, c.head_size, strided);
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(actual[i].equal(expected[i])) << i;
}

TEST(TimeMixOperandsInputs, WithNotANumberGiveNotANumber) {
  const TimeMixOperandsCase c{2, 2, 16, true, at::kFloat};
  TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/37);
  tensors.inputs[0][0][3] = NAN;
  const auto results = time_mix_operands_results(time_mix_operands, c.head_size, tensors);
  const auto head = [&](std::size_t i, std::int64_t t, std::int64_t h) {
    return results[i][t].narrow(0, 16 * h, 16);
  };
  EXPECT_TRUE(head(2, 0, 0).isnan().all().item<bool>());  // through the norm, the whole head
  EXPECT_TRUE(head(2, 0, 1).isfinite().all().item<bool>());
  EXPECT_TRUE(head(2, 1, 0).isfinite().all().item<bool>());
}

TEST(TimeMixOperandsErrors, NameTheArgument) {
  const auto x = test::random_time_mix_operands_tensors({2, 2, 16, true, at::kFloat}, /*seed=*/38).inputs;
  const auto message = [](const std::vector<at::Tensor>& in, std::int64_t head_size) {
    try {
      time_mix_operands(in[0], in[1], in[2], in[3], in[4], in[5], in[6], head_size);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const auto with = [&](std::size_t i, const at::Tensor& tensor) {
    auto changed = x;
    changed[i] = tensor;
    return message(changed, 16);
  };
  EXPECT_EQ(message(x, 16), "no error");
  EXPECT_NE(message(x, 24).find("k is (2, 32) but should be (T, C)"), std::string::npos);
  EXPECT_NE(with(0, x[0].narrow(0, 0, 0)).find("with T > 0"), std::string::npos);
  EXPECT_EQ(with(1, x[1].narrow(1, 0, 16)),
            "time_mix_operands: v is (2, 16) but should be (2, 32) (all activations share one shape).");
  EXPECT_EQ(with(2, x[2].to(at::kBFloat16)),
            "time_mix_operands: iclr is BFloat16 but should be Float (all activations share one type).");
  EXPECT_EQ(with(0, x[0].to(at::kDouble)), "time_mix_operands: k is Double but should be Float or BFloat16.");
  EXPECT_EQ(with(4, at::Tensor()),
            "time_mix_operands: v_first is missing (v_gate and v_first come together or not at all).");
  EXPECT_EQ(with(5, at::zeros({31})),
            "time_mix_operands: k_k is (31) but should have 32 elements (one a channel).");
  EXPECT_EQ(with(6, x[6].to(at::kBFloat16)),
            "time_mix_operands: k_a is BFloat16 but should be Float (only fp32 is computed).");
}

}  // namespace
}  // namespace vrwkv::kernels
