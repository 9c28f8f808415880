// SPDX-License-Identifier: Apache-2.0
#include "kernels/time_mix_operands/time_mix_operands.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/time_mix_operands_cases.h"

namespace vrwkv::kernels {
namespace {

using test::outputs_of;
using test::relative_rms;
using test::time_mix_operands_of;
using test::time_mix_operands_results;
using test::TimeMixOperandsCase;
using test::TimeMixOperandsTensors;

class TimeMixOperandsTest : public testing::TestWithParam<TimeMixOperandsCase> {};

TEST_P(TimeMixOperandsTest, MatchesReferenceForwardAndBackward) {
  const TimeMixOperandsCase& c = GetParam();
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/31);
  const auto expected = time_mix_operands_results(time_mix_operands_reference, tensors);
  const test::NanFilledFreshMemory fresh;
  const auto actual = time_mix_operands_results(time_mix_operands, tensors);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(actual[i].scalar_type(), c.type) << i;
  EXPECT_EQ(actual[4].scalar_type(), at::kFloat);
  test::expect_time_mix_operands_near(actual, expected, c.mixes_values);
}

TEST_P(TimeMixOperandsTest, GivesTheSameBitsForAnyNumberOfThreads) {
  const TimeMixOperandsCase& c = GetParam();
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/32);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = time_mix_operands_results(time_mix_operands, tensors);
  at::set_num_threads(3);
  const auto together = time_mix_operands_results(time_mix_operands, tensors);
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
  at::Tensor keys = tensors.inputs[1].narrow(1, 0, 64);
  keys[0].zero_();
  keys[1].mul_(1e-15);
  keys[2].mul_(1e-30);
  const auto expected = time_mix_operands_results(time_mix_operands_reference, tensors);
  const auto actual = time_mix_operands_results(time_mix_operands, tensors);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(actual[i].isfinite().all().item<bool>()) << i;
    if (actual[i].sizes() != tensors.inputs[0].sizes()) continue;
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
  tensors.inputs[3] = gates;
  tensors.inputs[4] = -gates;
  const auto expected = time_mix_operands_results(time_mix_operands_reference, tensors);
  const auto actual = time_mix_operands_results(time_mix_operands, tensors);
  test::expect_time_mix_operands_near(actual, expected, c.mixes_values);
  // Token by token, where the derivatives of the sigmoids are still normal numbers.
  for (const std::size_t i : {8, 9})
    for (std::int64_t t = 2; t < 7; ++t)
      EXPECT_LE(relative_rms(actual[i][t], expected[i][t]), 2e-6) << i << " " << t;
}

TEST(TimeMixOperandsBlock0, HandsTheValuesOn) {
  const auto x = test::random_time_mix_operands_tensors({3, 1, 16, false, at::kFloat}, /*seed=*/35).inputs;
  const TimeMixOperands operands = time_mix_operands_of(time_mix_operands, x);
  for (const at::Tensor& v : {operands.v, operands.bonus_v, operands.v_first})
    EXPECT_EQ(v.const_data_ptr(), x[2].const_data_ptr());
}

TEST(TimeMixOperandsBonus, IsOfTheKeysThatAreHandedOn) {
  const auto x = test::random_time_mix_operands_tensors({40, 3, 64, true, at::kBFloat16}, /*seed=*/40).inputs;
  const TimeMixOperands operands = time_mix_operands_of(time_mix_operands, x);
  const auto heads = [](const at::Tensor& tensor) { return tensor.to(at::kDouble).unflatten(1, {3, 64}); };
  EXPECT_LE(relative_rms(operands.bonus, (heads(operands.r) * heads(operands.k) * x[8]).sum(-1)), 2e-6);
}

/// In each kind of block, by each single output, the gradients of all inputs.
TEST(TimeMixOperandsGradients, AreThoseOfWhatIsReadAlone) {
  for (const bool mixes_values : {true, false}) {
    auto x = test::random_time_mix_operands_tensors({5, 2, 16, mixes_values, at::kFloat}, /*seed=*/39);
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& input : x.inputs)
      if (input.defined()) leaves.push_back(input.requires_grad_());
    const auto outputs = outputs_of(time_mix_operands_of(time_mix_operands, x.inputs));
    const auto wanted = outputs_of(time_mix_operands_of(time_mix_operands_reference, x.inputs));
    for (std::size_t output = 0; output < outputs.size(); ++output) {
      const auto gradients = [&](const at::Tensor& of) {
        return torch::autograd::grad({of}, leaves, {x.gradients[output].to(of.scalar_type())},
                                     /*retain_graph=*/true, /*create_graph=*/false, /*allow_unused=*/true);
      };
      const auto actual = gradients(outputs[output]), expected = gradients(wanted[output]);
      for (std::size_t i = 0; i < leaves.size(); ++i) {
        EXPECT_LE(relative_rms(actual[i], expected[i].defined() ? expected[i] : at::zeros_like(leaves[i])),
                  2e-6)
            << mixes_values << " " << output << " " << i;
      }
    }
  }
}

TEST(TimeMixOperandsInputs, MayBeStrided) {
  const TimeMixOperandsCase c{5, 2, 16, true, at::kFloat};
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/36);
  TimeMixOperandsTensors strided = tensors;
  for (std::size_t i = 0; i < 6; ++i) strided.inputs[i] = tensors.inputs[i].t().contiguous().t();
  for (at::Tensor& gradient : strided.gradients) gradient = gradient.t().contiguous().t();
  const auto expected = time_mix_operands_results(time_mix_operands, tensors);
  const auto actual = time_mix_operands_results(time_mix_operands, strided);
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(actual[i].equal(expected[i])) << i;
}

TEST(TimeMixOperandsInputs, WithNotANumberGiveNotANumber) {
  const TimeMixOperandsCase c{2, 2, 16, true, at::kFloat};
  TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/37);
  tensors.inputs[1][0][3] = NAN;
  tensors.inputs[0][1][16] = NAN;
  const auto results = time_mix_operands_results(time_mix_operands, tensors);
  const auto head = [&](std::size_t i, std::int64_t t, std::int64_t h) {
    return results[i][t].narrow(0, 16 * h, 16);
  };
  EXPECT_TRUE(head(2, 0, 0).isnan().all().item<bool>());  // through the norm, the whole head
  EXPECT_TRUE(head(2, 0, 1).isfinite().all().item<bool>());
  EXPECT_TRUE(head(2, 1, 0).isfinite().all().item<bool>());
  EXPECT_TRUE(results[4].isnan().equal(at::tensor({1, 0, 0, 1}).view({2, 2}).to(at::kBool)));  // the bonus
}

TEST(TimeMixOperandsErrors, NameTheArgument) {
  const auto x = test::random_time_mix_operands_tensors({2, 2, 16, true, at::kFloat}, /*seed=*/38).inputs;
  const auto message = [](const std::vector<at::Tensor>& in) {
    try {
      time_mix_operands_of(time_mix_operands, in);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const auto with = [&](std::size_t i, const at::Tensor& tensor) {
    auto changed = x;
    changed[i] = tensor;
    return message(changed);
  };
  EXPECT_EQ(message(x), "no error");
  EXPECT_EQ(with(0, x[0].narrow(0, 0, 0)),
            "time_mix_operands: r is (0, 32) but should be (T, 32) with T > 0 (r_k is (2, 16)).");
  EXPECT_EQ(with(0, x[0].to(at::kDouble)), "time_mix_operands: r is Double but should be Float or BFloat16.");
  EXPECT_EQ(with(2, x[2].narrow(1, 0, 16)),
            "time_mix_operands: v is (2, 16) but should be (2, 32) (all activations share one shape).");
  EXPECT_EQ(with(3, x[3].to(at::kBFloat16)),
            "time_mix_operands: iclr is BFloat16 but should be Float (all activations share one type).");
  EXPECT_EQ(with(5, at::Tensor()),
            "time_mix_operands: v_first is missing (v_gate and v_first come together or not at all).");
  EXPECT_EQ(with(6, at::zeros({31})),
            "time_mix_operands: k_k is (31) but should have 32 elements (one a channel).");
  EXPECT_EQ(with(7, x[7].to(at::kBFloat16)),
            "time_mix_operands: k_a is BFloat16 but should be Float (only fp32 is computed).");
  EXPECT_EQ(with(8, at::zeros({4, 8})),
            "time_mix_operands: r_k is (4, 8) but should be (H, N) with N a multiple of 16.");
}

}  // namespace
}  // namespace vrwkv::kernels
