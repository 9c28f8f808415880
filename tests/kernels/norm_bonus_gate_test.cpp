// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_bonus_gate/norm_bonus_gate.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/norm_bonus_gate_cases.h"

namespace vrwkv::kernels {
namespace {

using test::norm_bonus_gate_results;
using test::NormBonusGateCase;
using test::NormBonusGateTensors;
using test::relative_rms;

class NormBonusGate : public testing::TestWithParam<NormBonusGateCase> {};

TEST_P(NormBonusGate, MatchesReferenceForwardAndBackward) {
  const NormBonusGateCase& c = GetParam();
  const NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors(c, /*seed=*/81);
  const auto expected = norm_bonus_gate_results(norm_bonus_gate_reference, tensors);
  const test::NanFilledFreshMemory fresh;
  const auto actual = norm_bonus_gate_results(norm_bonus_gate, tensors);
  EXPECT_EQ(actual[0].scalar_type(), c.type);
  test::expect_norm_bonus_gate_near(actual, expected);
}

TEST_P(NormBonusGate, GivesTheSameBitsForAnyNumberOfThreads) {
  const NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors(GetParam(), /*seed=*/82);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = norm_bonus_gate_results(norm_bonus_gate, tensors);
  at::set_num_threads(3);
  const auto together = norm_bonus_gate_results(norm_bonus_gate, tensors);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i)
    EXPECT_TRUE(together[i].equal(alone[i])) << test::kNormBonusGateResultNames[i];
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormBonusGate,
                         testing::Values(NormBonusGateCase{1, 1, 64, at::kFloat},      //
                                         NormBonusGateCase{2, 3, 16, at::kFloat},      //
                                         NormBonusGateCase{17, 12, 64, at::kFloat},    //
                                         NormBonusGateCase{64, 3, 128, at::kFloat},    //
                                         NormBonusGateCase{70, 1, 48, at::kFloat},     //
                                         NormBonusGateCase{17, 3, 32, at::kFloat},     //
                                         NormBonusGateCase{1, 12, 64, at::kBFloat16},  //
                                         NormBonusGateCase{17, 3, 16, at::kBFloat16},  //
                                         NormBonusGateCase{200, 12, 64, at::kBFloat16},
                                         NormBonusGateCase{64, 3, 128, at::kBFloat16}),
                         test::norm_bonus_gate_case_name);

TEST(NormBonusGateInputs, MayBeConstantOverAHead) {
  NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors({3, 2, 16, at::kFloat}, /*seed=*/83);
  tensors.inputs[0].narrow(1, 0, 16).fill_(1.5);
  test::expect_norm_bonus_gate_near(norm_bonus_gate_results(norm_bonus_gate, tensors),
                                    norm_bonus_gate_results(norm_bonus_gate_reference, tensors));
}

TEST(NormBonusGateInputs, MayBeStrided) {
  const NormBonusGateTensors tensors =
      test::random_norm_bonus_gate_tensors({5, 2, 16, at::kFloat}, /*seed=*/84);
  NormBonusGateTensors strided = tensors;
  for (std::size_t i = 0; i < 4; ++i) strided.inputs[i] = tensors.inputs[i].t().contiguous().t();
  strided.gradient = tensors.gradient.t().contiguous().t();
  const auto expected = norm_bonus_gate_results(norm_bonus_gate, tensors);
  const auto actual = norm_bonus_gate_results(norm_bonus_gate, strided);
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_TRUE(actual[i].equal(expected[i])) << test::kNormBonusGateResultNames[i];
}

TEST(NormBonusGateInputs, WithNotANumberGiveNotANumber) {
  NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors({2, 2, 16, at::kFloat}, /*seed=*/85);
  tensors.inputs[0][0][3] = NAN;
  tensors.inputs[1][1][1] = NAN;
  const at::Tensor out = norm_bonus_gate_results(norm_bonus_gate, tensors)[0];
  EXPECT_TRUE(out[0].narrow(0, 0, 16).isnan().all().item<bool>());  // through the mean, the whole head
  EXPECT_TRUE(out[0].narrow(0, 16, 16).isfinite().all().item<bool>());
  EXPECT_TRUE(out[1].narrow(0, 0, 16).isfinite().all().item<bool>());
  EXPECT_TRUE(out[1].narrow(0, 16, 16).isnan().all().item<bool>());  // its bonus
}

TEST(NormBonusGateErrors, NameTheArgument) {
  const auto x = test::random_norm_bonus_gate_tensors({2, 2, 16, at::kFloat}, /*seed=*/86).inputs;
  const auto message = [](const std::vector<at::Tensor>& in, double epsilon) {
    try {
      norm_bonus_gate(in[0], in[1], in[2], in[3], in[4], in[5], epsilon);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const auto with = [&](std::size_t i, const at::Tensor& tensor) {
    auto changed = x;
    changed[i] = tensor;
    return message(changed, test::kGroupEpsilon);
  };
  EXPECT_EQ(message(x, test::kGroupEpsilon), "no error");
  EXPECT_EQ(message(x, 0), "norm_bonus_gate: epsilon is 0 but should be positive (a head may be constant).");
  EXPECT_EQ(with(0, x[0].narrow(0, 0, 0)), "norm_bonus_gate: y is (0, 32) but should be (T, C), neither 0.");
  const auto of_bonus = [](const char* sizes) {
    return fmt::format(
        "norm_bonus_gate: bonus is {} but should be (2, H) with H heads of a multiple of 16 channels (y is "
        "(2, "
        "32)).",
        sizes);
  };
  EXPECT_EQ(with(1, at::zeros({2, 4})), of_bonus("(2, 4)"));
  EXPECT_EQ(with(1, at::zeros({1, 2})), of_bonus("(1, 2)"));
  EXPECT_EQ(with(1, at::zeros({2, 0})), of_bonus("(2, 0)"));
  EXPECT_EQ(with(1, at::Tensor()), "norm_bonus_gate: bonus is missing.");
  EXPECT_EQ(with(2, x[2].narrow(1, 0, 16)),
            "norm_bonus_gate: v is (2, 16) but should be (2, 32) (all activations share one shape).");
  EXPECT_EQ(with(3, x[3].to(at::kBFloat16)),
            "norm_bonus_gate: g is BFloat16 but should be Float (all activations share one type).");
  EXPECT_EQ(with(4, at::zeros({31})),
            "norm_bonus_gate: weight is (31) but should have 32 elements (one a channel).");
}

}  // namespace
}  // namespace vrwkv::kernels
