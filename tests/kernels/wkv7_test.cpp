// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/error.h"
#include "kernels/wkv/kept_states.h"
#include "kernels/wkv7/kept_interval.h"
#include "tests/kernels/wkv7_cases.h"

namespace vrwkv::kernels {
namespace {

using test::int64_list;
using test::relative_rms;
using test::Wkv7Case;

class Wkv7 : public testing::TestWithParam<Wkv7Case> {};

TEST_P(Wkv7, MatchesReferenceForwardAndBackward) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/7);
  const auto expected = test::wkv7_expected(c, tensors);
  const test::NanFilledFreshMemory fresh;
  test::expect_wkv7_results_near(test::wkv7_results(wkv7, c, tensors), expected);
}

TEST_P(Wkv7, GivesTheSameBitsAgainAndWithoutGradients) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/8);
  const auto first = test::wkv7_results(wkv7, c, tensors);
  const auto second = test::wkv7_results(wkv7, c, tensors);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(second[i])) << i;
  const at::NoGradGuard no_gradients;
  const auto& in = tensors.inputs;
  const Wkv7Result forward_only =
      wkv7(in[0], in[1], in[2], in[3], in[4], in[5], int64_list(c.sequence_starts), tensors.initial_state,
           {.decay_input = c.decay_input});
  EXPECT_TRUE(forward_only.y.equal(first[0]));
  EXPECT_TRUE(forward_only.final_state.equal(first[1]));
}

/// Five threads share out whole heads of the first case, and groups of values of the second.
TEST(Wkv7Threads, GiveTheSameBitsInAnyNumber) {
  const int threads = at::get_num_threads();
  for (const Wkv7Case& c : {Wkv7Case{2, 40, 3, 64, {0, 7}, true}, Wkv7Case{1, 40, 1, 64, {0, 7}, true}}) {
    const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/9);
    at::set_num_threads(1);
    const auto alone = test::wkv7_results(wkv7, c, tensors);
    at::set_num_threads(5);
    const auto together = test::wkv7_results(wkv7, c, tensors);
    at::set_num_threads(threads);
    for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(together[i].equal(alone[i])) << i;
  }
}

constexpr DecayInput kRaw = DecayInput::kRaw, kPreClamped = DecayInput::kPreClamped;

INSTANTIATE_TEST_SUITE_P(Fp32, Wkv7,
                         testing::ValuesIn(test::all_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kPreClamped})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(Fp32Raw, Wkv7,
                         testing::ValuesIn(test::short_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kRaw})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(
    Bf16, Wkv7, testing::ValuesIn(test::all_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kRaw, at::kBFloat16})),
    test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(Bf16PreClamped, Wkv7,
                         testing::ValuesIn(test::short_cases(Wkv7Case{
                             1, 1, 1, 64, {0}, true, kPreClamped, at::kBFloat16})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, Wkv7,
                         testing::Values(Wkv7Case{2, 48, 3, 64, {0}, false},           //
                                         Wkv7Case{2, 40, 1, 64, {0, 16, 39}, false},   //
                                         Wkv7Case{1, 33, 2, 32, {0, 20}, true},        //
                                         Wkv7Case{1, 18, 1, 128, {0, 3}, true},        //
                                         Wkv7Case{1, 21, 3, 16, {0, 5}, true},         //
                                         Wkv7Case{1, 17, 1, 48, {0}, true},            //
                                         Wkv7Case{1, 19, 1, 80, {0, 7}, true},         //
                                         Wkv7Case{2, 37, 2, 64, {0, 5}, true, kRaw}),  //
                         test::wkv7_case_name);

TEST(Wkv7Golden, ThreeTokensInExactArithmetic) {
  // One head with N = 2, worked out by hand elsewhere; the other channels are zero.
  const auto pad = [](std::initializer_list<float> values) {
    return at::constant_pad_nd(at::tensor(values).view({1, 3, 1, 2}), {0, 14});
  };
  const at::Tensor w = pad({-0.5F, -1.0F, -0.75F, -2.0F, -0.6F, -0.9F});
  const at::Tensor r = pad({0.5F, -0.25F, 1.0F, 0.5F, -0.5F, 0.75F});
  const at::Tensor k = pad({0.3F, 0.7F, -0.4F, 0.2F, 0.1F, -0.6F});
  const at::Tensor v = pad({1.0F, -1.0F, 0.5F, 2.0F, -1.5F, 0.25F});
  const at::Tensor kk = pad({0.6F, 0.8F, 0.8F, -0.6F, -1.0F, 0.0F});
  const at::Tensor rate = pad({0.5F, 0.25F, 0.75F, 0.5F, 0.2F, 0.9F});
  const at::Tensor expected_y =
      at::tensor({-0.025, 0.025, 0.42375553, -1.17375553, 1.06038664, 0.0031553}, at::kDouble).view({3, 2});
  const at::Tensor expected_state =
      at::tensor({-0.11410289, 1.33778026, -0.38853295, -0.2548149}, at::kDouble).view({2, 2});
  for (const test::Wkv7Function& recurrence :
       {test::Wkv7Function(wkv7), test::Wkv7Function(wkv7_reference)}) {
    const Wkv7Result result = recurrence(r, w, k, v, -kk, kk * rate, int64_list({0}), {}, {});
    EXPECT_TRUE(at::allclose(result.y[0].squeeze(1).narrow(1, 0, 2).to(at::kDouble), expected_y, 1e-6, 1e-6));
    const at::Tensor state = result.final_state[0][0][0].narrow(0, 0, 2).narrow(1, 0, 2);
    EXPECT_TRUE(at::allclose(state.to(at::kDouble), expected_state, 1e-6, 1e-6));
  }
}

TEST(Wkv7Pieces, CarryTheStateAndItsGradient) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Wkv7Case c{1, 77, 2, 64, {0}, true, kRaw, type};
    const auto tensors = test::random_wkv7_tensors(c, /*seed=*/3);
    const auto results_of = [](const auto&... of) { return test::wkv7_results(wkv7, of...); };
    const auto joined = test::results_in_pieces(results_of, c, tensors);
    test::expect_wkv7_results_near(joined, results_of(c, tensors));
    test::expect_wkv7_results_near(joined, test::wkv7_expected(c, tensors));
  }
}

TEST(Wkv7Decay, StaysExactWhereTheDecayIsFarFromTheModelsRange) {
  const Wkv7Case c{1, 40, 1, 64, {0}, true};
  auto tensors = test::random_wkv7_tensors(c, /*seed=*/5);
  tensors.inputs[1] = at::linspace(-30.0, 6.0, tensors.inputs[1].numel()).view_as(tensors.inputs[1]);
  const auto expected = test::wkv7_expected(c, tensors);
  const auto actual = test::wkv7_results(wkv7, c, tensors);
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_LE(relative_rms(actual[i], expected[i]), test::kWkv7Tolerance) << i;
}

TEST(Wkv7Decay, IsOneFunctionOfTheLogitInBothConventions) {
  const Wkv7Case pre_clamped{1, 20, 2, 64, {0}, true};
  Wkv7Case raw = pre_clamped;
  raw.decay_input = DecayInput::kRaw;
  const auto tensors = test::random_wkv7_tensors(pre_clamped, /*seed=*/14);
  const auto raw_tensors = test::random_wkv7_tensors(raw, /*seed=*/14);
  const auto expected = test::wkv7_results(wkv7, pre_clamped, tensors);
  auto actual = test::wkv7_results(wkv7, raw, raw_tensors);
  // dx = dw dw/dx, of w = -softplus(-x) - 1/2.
  const at::Tensor expected_dx = expected[3] * at::sigmoid(-raw_tensors.inputs[1]);
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_LE(relative_rms(actual[i], i == 3 ? expected_dx : expected[i]), test::kWkv7Tolerance) << i;
}

TEST(Wkv7Decay, IsWithinItsBoundsForAnyRawW) {
  const Wkv7Case c{1, 30, 1, 16, {0}, true, kRaw};
  auto tensors = test::random_wkv7_tensors(c, /*seed=*/15);
  tensors.inputs[1] = at::linspace(-200.0, 200.0, tensors.inputs[1].numel()).view_as(tensors.inputs[1]);
  test::expect_wkv7_results_near(test::wkv7_results(wkv7, c, tensors), test::wkv7_expected(c, tensors));
}

TEST(Wkv7Decay, ForgetsAllAtOnceForHugeW) {
  const Wkv7Case c{1, 5, 1, 16, {0}, false};
  auto tensors = test::random_wkv7_tensors(c, /*seed=*/6);
  tensors.inputs[1] = at::full_like(tensors.inputs[1], 200.0);
  const auto actual = test::wkv7_results(wkv7, c, tensors);
  for (const at::Tensor& tensor : actual) EXPECT_TRUE(tensor.isfinite().all().item<bool>());
  EXPECT_EQ(actual[3].abs().max().item<float>(), 0.0F);
}

TEST(Wkv7Gradients, ComeThroughTheFinalStateAlone) {
  const Wkv7Case c{1, 20, 1, 32, {0, 9}, false};
  const auto tensors = test::random_wkv7_tensors(c, /*seed=*/4);
  const auto gradient_of_v = [&](const test::Wkv7Function& recurrence) {
    const auto& in = tensors.inputs;
    const at::Tensor v = in[3].clone().requires_grad_();
    const auto result =
        recurrence(in[0], in[1], in[2], v, in[4], in[5], int64_list(c.sequence_starts), {}, {});
    return torch::autograd::grad({(result.final_state * tensors.gradient_final_state).sum()}, {v})[0];
  };
  EXPECT_LE(relative_rms(gradient_of_v(wkv7), gradient_of_v(wkv7_reference)), test::kWkv7Tolerance);
}

TEST(Wkv7Bf16, RoundsOnlyWhatGoesInAndOut) {
  const Wkv7Case c{2, 40, 2, 64, {0, 17}, true, kRaw, at::kBFloat16};
  const auto tensors = test::random_wkv7_tensors(c, /*seed=*/12);
  const auto actual = test::wkv7_results(wkv7, c, tensors);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const bool is_state = i == 1 || i == 8;
    EXPECT_EQ(actual[i].scalar_type(), is_state ? at::kFloat : at::kBFloat16) << i;
  }
  test::expect_wkv7_results_near(actual, test::wkv7_expected(c, tensors));
}

TEST(Wkv7KeptStates, GiveTheSameBitsHoweverFewAreKept) {
  const Wkv7Case c{2, 150, 2, 64, {0, 17, 20}, true, kRaw};
  const auto tensors = test::random_wkv7_tensors(c, /*seed=*/16);
  const auto all = test::wkv7_results(wkv7, c, tensors);
  // Of 4 heads, 64 KiB of states: one in 16 tokens takes 768 KiB, 32 take 448, 64 take 320.
  for (const std::int64_t bytes : {500'000, 350'000, 0}) {
    const auto few = test::wkv7_results(test::wkv7_keeping(wkv7, bytes), c, tensors);
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(few[i].equal(all[i])) << bytes << ", " << i;
  }
}

TEST(KeptInterval, IsTheShortestWithinTheBudget) {
  const auto choose = [](std::int64_t budget) {
    return choose_kept_interval(16, /*longest_sequence=*/100, budget, [](std::int64_t interval) {
      return kept_state_count(/*tokens=*/160, /*sequences=*/2, interval) * 10;
    });
  };
  EXPECT_EQ(choose(1000), 16);
  EXPECT_EQ(choose(110), 16);  // 11 states
  EXPECT_EQ(choose(109), 32);  // 6
  EXPECT_EQ(choose(59), 64);   // 4
  EXPECT_EQ(choose(0), 128);   // one before each sequence
}

TEST(Wkv7NaN, SpreadsOverTheRestOfItsSequenceAndHead) {
  const Wkv7Case c{1, 12, 2, 32, {0, 4, 8}, false};
  for (const DecayInput decay_input : {DecayInput::kPreClamped, DecayInput::kRaw}) {
    for (std::size_t input = 0; input < 6; ++input) {
      for (const std::int64_t token : {4, 5}) {
        auto in = test::random_wkv7_tensors(c, /*seed=*/13).inputs;
        in[input][0][token][1][3] = NAN;
        const Wkv7Result result = wkv7(in[0], in[1], in[2], in[3], in[4], in[5],
                                       int64_list(c.sequence_starts), {}, {.decay_input = decay_input});
        const at::Tensor is_nan = result.y.isnan().any(-1)[0];  // (T, H)
        at::Tensor expected = at::zeros({12, 2}, at::kBool);
        const bool stays = input == 0;  // r is not remembered
        expected.select(1, 1).slice(0, token, stays ? token + 1 : 8).fill_(true);
        EXPECT_TRUE(is_nan.equal(expected)) << input << " at " << token;
        EXPECT_EQ(result.final_state[0][1][1].isnan().any().item<bool>(), !stays) << input;
        EXPECT_FALSE(result.final_state[0][2].isnan().any().item<bool>()) << input;
      }
    }
  }
}

TEST(Wkv7Errors, NameTheArgumentAndItsShape) {
  const Wkv7Case c{1, 8, 2, 32, {0}, false};
  const auto in = test::random_wkv7_tensors(c, /*seed=*/1).inputs;
  const auto message = [&](const std::vector<at::Tensor>& x, const at::Tensor& starts,
                           const at::Tensor& state = {}) {
    try {
      wkv7(x[0], x[1], x[2], x[3], x[4], x[5], starts, state);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  auto narrow = in;
  narrow[1] = in[1].narrow(3, 0, 16);
  EXPECT_EQ(message(narrow, int64_list({0})),
            "wkv7: w is (1, 8, 2, 16) but should be (1, 8, 2, 32) (all activations share one shape).");
  auto wide = in;
  wide[5] = in[5].to(at::kDouble);
  EXPECT_EQ(message(wide, int64_list({0})), "wkv7: b is Double but should be Float or BFloat16.");
  auto mixed = in;
  mixed[2] = in[2].to(at::kBFloat16);
  EXPECT_EQ(message(mixed, int64_list({0})),
            "wkv7: k is BFloat16 but should be Float (all activations share one type).");
  std::vector<at::Tensor> empty;
  for (const at::Tensor& input : in) empty.push_back(input.narrow(1, 0, 0));
  EXPECT_EQ(message(empty, int64_list({0})),
            "wkv7: r is (1, 0, 2, 32) but should be (B, T, H, N), none of them 0 and N a multiple of 16.");
  EXPECT_NE(message(in, int64_list({1})).find("begins with 1"), std::string::npos);
  EXPECT_NE(message(in, int64_list({0, 4, 4})).find("sequence_starts[2] is 4 after 4"), std::string::npos);
  EXPECT_NE(message(in, int64_list({0, 8})).find("there are 8 tokens"), std::string::npos);
  EXPECT_NE(message(in, int64_list({0, 4}), at::zeros({1, 1, 2, 32, 32}))
                .find("initial_state is (1, 1, 2, 32, 32)"),
            std::string::npos);
}

}  // namespace
}  // namespace vrwkv::kernels
