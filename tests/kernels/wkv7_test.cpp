// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv7/wkv7.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/error.h"
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
  const auto expected = test::wkv7_results(wkv7_reference, c, tensors);
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

TEST(Wkv7Threads, GiveTheSameBitsInAnyNumber) {
  const Wkv7Case c{2, 40, 3, 64, {0, 7}, true};
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/9);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = test::wkv7_results(wkv7, c, tensors);
  at::set_num_threads(5);
  const auto together = test::wkv7_results(wkv7, c, tensors);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(together[i].equal(alone[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, Wkv7,
                         testing::Values(Wkv7Case{1, 1, 1, 64, {0}, false},             //
                                         Wkv7Case{1, 16, 1, 64, {0}, true},             //
                                         Wkv7Case{2, 48, 3, 64, {0}, false},            //
                                         Wkv7Case{1, 37, 2, 64, {0}, true},             //
                                         Wkv7Case{1, 63, 2, 64, {0, 1, 17, 50}, true},  //
                                         Wkv7Case{2, 40, 1, 64, {0, 16, 39}, false},    //
                                         Wkv7Case{1, 33, 2, 32, {0, 20}, true},         //
                                         Wkv7Case{1, 18, 1, 128, {0, 3}, true},         //
                                         Wkv7Case{1, 21, 3, 16, {0, 5}, true},          //
                                         Wkv7Case{1, 17, 1, 48, {0}, true},             //
                                         Wkv7Case{1, 19, 1, 80, {0, 7}, true},
                                         Wkv7Case{2, 37, 2, 64, {0, 5}, true, DecayInput::kRaw}),
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

TEST(Wkv7States, PiecesThatHandTheStateOnGiveTheWhole) {
  const Wkv7Case c{1, 50, 2, 64, {0}, true};
  const auto tensors = test::random_wkv7_tensors(c, /*seed=*/3);
  const auto piece = [&](std::int64_t begin, std::int64_t end, const at::Tensor& state) {
    std::vector<at::Tensor> in;
    for (const at::Tensor& input : tensors.inputs) in.push_back(input.narrow(1, begin, end - begin));
    return wkv7(in[0], in[1], in[2], in[3], in[4], in[5], int64_list({0}), state);
  };
  const Wkv7Result whole = piece(0, 50, tensors.initial_state);
  const Wkv7Result head = piece(0, 23, tensors.initial_state);
  const Wkv7Result tail = piece(23, 50, head.final_state);
  EXPECT_LE(relative_rms(at::cat({head.y, tail.y}, 1), whole.y), test::kWkv7Tolerance);
  EXPECT_LE(relative_rms(tail.final_state, whole.final_state), test::kWkv7Tolerance);
}

TEST(Wkv7Decay, StaysExactWhereTheDecayIsFarFromTheModelsRange) {
  const Wkv7Case c{1, 40, 1, 64, {0}, true};
  auto tensors = test::random_wkv7_tensors(c, /*seed=*/5);
  tensors.inputs[1] = at::linspace(-30.0, 6.0, tensors.inputs[1].numel()).view_as(tensors.inputs[1]);
  const auto expected = test::wkv7_results(wkv7_reference, c, tensors);
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
  const Wkv7Case c{1, 30, 1, 16, {0}, true, DecayInput::kRaw};
  auto tensors = test::random_wkv7_tensors(c, /*seed=*/15);
  tensors.inputs[1] = at::linspace(-200.0, 200.0, tensors.inputs[1].numel()).view_as(tensors.inputs[1]);
  test::expect_wkv7_results_near(test::wkv7_results(wkv7, c, tensors),
                                 test::wkv7_results(wkv7_reference, c, tensors));
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
  const Wkv7Case c{2, 40, 2, 64, {0, 17}, true, DecayInput::kRaw};
  auto tensors = test::random_wkv7_tensors(c, /*seed=*/12);
  for (at::Tensor& input : tensors.inputs) input = input.to(at::kBFloat16);
  tensors.gradient_y = tensors.gradient_y.to(at::kBFloat16);
  const auto expected = test::wkv7_results(wkv7_reference, c, tensors);
  const auto actual = test::wkv7_results(wkv7, c, tensors);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const bool is_state = i == 1 || i == 8;
    EXPECT_EQ(actual[i].scalar_type(), is_state ? at::kFloat : at::kBFloat16) << i;
    // Rounding to 8 bits is off by 1.7e-3 (root mean square) of the value.
    EXPECT_LE(relative_rms(actual[i], expected[i]), is_state ? test::kWkv7Tolerance : 2.5e-3) << i;
  }
}

TEST(Wkv7NaN, SpreadsOverTheRestOfItsSequenceAndHead) {
  const Wkv7Case c{1, 12, 2, 32, {0, 4, 8}, false};
  for (const DecayInput decay_input : {DecayInput::kPreClamped, DecayInput::kRaw}) {
    for (std::size_t input = 0; input < 6; ++input) {
      auto in = test::random_wkv7_tensors(c, /*seed=*/13).inputs;
      in[input][0][5][1][3] = NAN;
      const Wkv7Result result = wkv7(in[0], in[1], in[2], in[3], in[4], in[5], int64_list(c.sequence_starts),
                                     {}, {.decay_input = decay_input});
      const at::Tensor is_nan = result.y.isnan().any(-1)[0];  // (T, H)
      at::Tensor expected = at::zeros({12, 2}, at::kBool);
      const bool stays = input == 0;  // r is not remembered
      expected.select(1, 1).slice(0, 5, stays ? 6 : 8).fill_(true);
      EXPECT_TRUE(is_nan.equal(expected)) << input;
      EXPECT_EQ(result.final_state[0][1][1].isnan().any().item<bool>(), !stays) << input;
      EXPECT_FALSE(result.final_state[0][2].isnan().any().item<bool>()) << input;
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
