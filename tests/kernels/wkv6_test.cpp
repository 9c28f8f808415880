// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <tuple>

#include "common/error.h"
#include "kernels/wkv6/wkv6_segments.h"
#include "kernels/wkv6/wkv6_within.h"
#include "tests/kernels/wkv6_cases.h"
#include "tests/support/peak_memory.h"

namespace vrwkv::kernels {
namespace {

using test::int64_list;
using test::relative_rms;
using test::Wkv6Case;

class Wkv6 : public testing::TestWithParam<Wkv6Case> {};

TEST_P(Wkv6, MatchesReferenceForwardAndBackward) {
  const Wkv6Case& c = GetParam();
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/7);
  const auto expected = test::wkv6_expected(c, tensors);
  const test::NanFilledFreshMemory fresh;
  const auto actual = test::wkv6_results(wkv6, c, tensors);
  EXPECT_EQ(actual[0].scalar_type(), c.type);
  EXPECT_EQ(actual[1].scalar_type(), at::kFloat);
  test::expect_wkv6_results_near(actual, expected);
}

TEST_P(Wkv6, GivesTheSameBitsForAnyNumberOfThreadsAndWithoutGradients) {
  const Wkv6Case& c = GetParam();
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/8);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = test::wkv6_results(wkv6, c, tensors);
  at::set_num_threads(3);
  const auto together = test::wkv6_results(wkv6, c, tensors);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i)
    EXPECT_TRUE(alone[i].equal(together[i])) << test::kWkv6ResultNames[i];
  const auto& in = tensors.inputs;
  const Wkv6Result forward_only =
      wkv6(in[0], in[1], in[2], in[3], in[4], int64_list(c.sequence_starts), tensors.initial_state);
  EXPECT_TRUE(forward_only.y.equal(alone[0]));
  EXPECT_TRUE(forward_only.final_state.equal(alone[1]));
}

/// Threads share out whole heads of the first case, also where there are sixteen; pieces of sequences of the
/// others, if there are five or more.
TEST(Wkv6Threads, GiveTheSameBitsInAnyNumber) {
  const int threads = at::get_num_threads();
  for (const Wkv6Case& c : {Wkv6Case{2, 40, 6, 64, {0, 7}, true}, Wkv6Case{1, 300, 1, 64, {0}, false},
                            Wkv6Case{1, 261, 1, 80, {0, 1, 66, 131}, true},
                            Wkv6Case{2, 333, 1, 64, {0, 5}, true, at::kBFloat16}}) {
    SCOPED_TRACE(testing::PrintToString(c));
    const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/12);
    at::set_num_threads(1);
    const auto alone = test::wkv6_results(wkv6, c, tensors);
    test::expect_wkv6_results_near(alone, test::wkv6_expected(c, tensors));
    const test::NanFilledFreshMemory fresh;
    for (const int count : {2, 5, 16}) {
      at::set_num_threads(count);
      const auto together = test::wkv6_results(wkv6, c, tensors);
      for (std::size_t i = 0; i < alone.size(); ++i)
        EXPECT_TRUE(together[i].equal(alone[i])) << test::kWkv6ResultNames[i] << " by " << count;
    }
    at::set_num_threads(threads);
  }
}

INSTANTIATE_TEST_SUITE_P(Fp32, Wkv6, testing::ValuesIn(test::all_cases(Wkv6Case{1, 1, 1, 64, {0}, true})),
                         test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(Bf16, Wkv6,
                         testing::ValuesIn(test::all_cases(Wkv6Case{1, 1, 1, 64, {0}, true, at::kBFloat16})),
                         test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, Wkv6,
                         testing::Values(Wkv6Case{2, 48, 3, 64, {0}, false},            //
                                         Wkv6Case{1, 63, 6, 64, {0, 1, 17, 50}, true},  //
                                         Wkv6Case{2, 40, 1, 64, {0, 16, 39}, false},    //
                                         Wkv6Case{1, 33, 2, 32, {0, 20}, true},         //
                                         Wkv6Case{1, 18, 1, 128, {0, 3}, true},         //
                                         Wkv6Case{1, 21, 3, 16, {0, 5}, true},          //
                                         Wkv6Case{1, 19, 1, 80, {0, 7}, true},          //
                                         Wkv6Case{2, 49, 5, 64, {0, 30}, true, at::kBFloat16}),
                         test::wkv6_case_name);

TEST(Wkv6Golden, TwoTokensInExactArithmetic) {
  // One head with N = 2 and decays of 1/2 and 1/4, worked out by hand; the other channels are zero.
  const auto pad = [](std::initializer_list<float> values) {
    return at::constant_pad_nd(at::tensor(values).view({1, 2, 1, 2}), {0, 14});
  };
  const auto raw_decay = [](double d) { return std::log(-std::log(d)); };
  const at::Tensor r = pad({1, 2, 2, -1}), k = pad({3, 1, -1, 2}), v = pad({2, -1, 4, 1});
  const auto half = static_cast<float>(raw_decay(0.5)), quarter = static_cast<float>(raw_decay(0.25));
  const at::Tensor w = pad({half, quarter, half, quarter});
  const at::Tensor u = at::constant_pad_nd(at::tensor({0.5F, 1.0F}).view({1, 2}), {0, 14});
  // y_1 = (1 0.5 3 + 2 1 1) v_1;  S_1 = v_1 k_1ᵀ;  y_2 = S_1 r_2 + (2 0.5 -1 + -1 1 2) v_2
  const at::Tensor y = at::tensor({7.0F, -3.5F, 10.0F - 12.0F, -5.0F - 3.0F}).view({2, 2});
  // S_2 = S_1 diag(1/2, 1/4) + v_2 k_2ᵀ
  const at::Tensor state = at::tensor({3.0F - 4.0F, 0.5F + 8.0F, -1.5F - 1.0F, -0.25F + 2.0F}).view({2, 2});
  for (const test::Wkv6Function& recurrence :
       {test::Wkv6Function(wkv6), test::Wkv6Function(wkv6_reference)}) {
    const Wkv6Result result = recurrence(r, k, v, w, u, int64_list({0}), {});
    const auto first_two = [](const at::Tensor& x) { return x.narrow(1, 0, 2).to(at::kFloat); };
    EXPECT_TRUE(at::allclose(first_two(result.y[0].squeeze(1)), y, 1e-6, 1e-6));
    EXPECT_TRUE(at::allclose(first_two(result.final_state[0][0][0].narrow(0, 0, 2)), state, 1e-6, 1e-6));
  }
}

TEST(Wkv6Pieces, CarryTheStateAndItsGradient) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Wkv6Case c{1, 77, 2, 64, {0}, true, type};
    const auto tensors = test::random_wkv6_tensors(c, /*seed=*/3);
    const auto results_of = [](const auto&... of) { return test::wkv6_results(wkv6, of...); };
    const auto joined = test::results_in_pieces(results_of, c, tensors);
    test::expect_wkv6_results_near(joined, results_of(c, tensors));
    test::expect_wkv6_results_near(joined, test::wkv6_expected(c, tensors));
  }
}

/// As wkv6(), of which at most so many bytes of states are held.
test::Wkv6Function within(std::int64_t bytes) {
  return [=](const auto&... arguments) { return wkv6_within(bytes, arguments...); };
}

// Segments of 64 and 128 tokens: sequences that lie in one, that end with one, and that go over several.
TEST(Wkv6Within, ComputesTheSameInSegments) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool carries_state : {true, false}) {
      const Wkv6Case c{2, 450, 2, 32, {0, 3, 64, 100, 101, 384}, carries_state, type};
      const auto tensors = test::random_wkv6_tensors(c, /*seed=*/19);
      const auto whole = test::wkv6_results(wkv6, c, tensors);
      for (const std::int64_t bytes : {std::int64_t{1} << 40, std::int64_t{300'000}, std::int64_t{0}}) {
        SCOPED_TRACE(bytes);
        const auto parts = test::wkv6_results(within(bytes), c, tensors);
        test::expect_wkv6_results_near(parts, whole);
        test::expect_wkv6_results_near(parts, test::wkv6_expected(c, tensors));
      }
    }
  }
}

TEST(Wkv6Within, HoldsFewerStates) {
  const Wkv6Case c{1, 8192, 2, 64, {0, 1000}, true};
  const auto tensors = test::random_wkv6_tensors(c, /*seed=*/20);
  const auto peak_of = [&](const test::Wkv6Function& function) {
    const test::PeakMemory peak;
    test::wkv6_results(function, c, tensors);
    return peak.bytes();
  };
  // 514 states of 32 KiB, 17 MB; in segments of 512 tokens 15 before them, and 34 of one.
  EXPECT_LE(peak_of(within(2'000'000)), peak_of(wkv6) - 12'000'000);
}

TEST(Wkv6Segments, AreCutAtTokensAndKnowTheirSequences) {
  const auto segments = wkv6_segments({0, 3, 64, 130, 200}, 64);
  ASSERT_EQ(segments.size(), 4U);
  const auto is = [&](std::size_t i, const Wkv6Segment& other) {
    const Wkv6Segment& s = segments[i];
    EXPECT_EQ(std::tie(s.begin, s.end, s.first_sequence, s.sequences, s.continues_one, s.is_continued),
              std::tie(other.begin, other.end, other.first_sequence, other.sequences, other.continues_one,
                       other.is_continued))
        << i;
  };
  is(0, {0, 64, 0, 2, false, false});
  is(1, {64, 128, 2, 1, false, true});
  is(2, {128, 192, 2, 2, true, true});
  is(3, {192, 200, 3, 1, true, false});
}

TEST(Wkv6Decay, StaysExactFromNoneToAllForgotten) {
  const Wkv6Case c{1, 40, 1, 64, {0}, true};
  auto tensors = test::random_wkv6_tensors(c, /*seed=*/5);
  tensors.inputs[3] = at::linspace(-30.0, 6.0, tensors.inputs[3].numel()).view_as(tensors.inputs[3]);
  test::expect_wkv6_results_near(test::wkv6_results(wkv6, c, tensors), test::wkv6_expected(c, tensors));
}

TEST(Wkv6Decay, ForgetsAllAtOnceForHugeW) {
  const Wkv6Case c{1, 5, 1, 16, {0}, false};
  auto tensors = test::random_wkv6_tensors(c, /*seed=*/6);
  tensors.inputs[3] = at::full_like(tensors.inputs[3], 200.0);
  const auto actual = test::wkv6_results(wkv6, c, tensors);
  for (const at::Tensor& tensor : actual) EXPECT_TRUE(tensor.isfinite().all().item<bool>());
  EXPECT_EQ(actual[5].abs().max().item<float>(), 0.0F);
}

TEST(Wkv6Gradients, ComeThroughTheFinalStateAlone) {
  const Wkv6Case c{1, 20, 1, 32, {0, 9}, false};
  const auto tensors = test::random_wkv6_tensors(c, /*seed=*/4);
  const auto gradient_of_v = [&](const test::Wkv6Function& recurrence) {
    const auto& in = tensors.inputs;
    const at::Tensor v = in[2].clone().requires_grad_();
    const auto result = recurrence(in[0], in[1], v, in[3], in[4], int64_list(c.sequence_starts), {});
    return torch::autograd::grad({(result.final_state * tensors.gradient_final_state).sum()}, {v})[0];
  };
  EXPECT_LE(relative_rms(gradient_of_v(wkv6), gradient_of_v(wkv6_reference)), 2e-6);
}

TEST(Wkv6Inputs, WithNotANumberGiveNotANumberWhereItReaches) {
  const Wkv6Case c{1, 6, 2, 16, {0, 4}, false};
  const auto tensors = test::random_wkv6_tensors(c, /*seed=*/9);
  auto in = tensors.inputs;
  in[2] = in[2].clone();
  in[2][0][1][0][5] = NAN;  // value 5 of head 0 at token 1, in the first sequence
  const Wkv6Result result = wkv6(in[0], in[1], in[2], in[3], in[4], int64_list(c.sequence_starts));
  const at::Tensor bad = result.y.isnan();
  EXPECT_EQ(bad.sum().item<std::int64_t>(), 3);
  EXPECT_TRUE(bad[0].narrow(0, 1, 3).select(1, 0).select(1, 5).all().item<bool>());
}

TEST(Wkv6Errors, NameTheArgumentAndItsShape) {
  const Wkv6Case c{1, 8, 2, 32, {0}, false};
  const auto in = test::random_wkv6_tensors(c, /*seed=*/1).inputs;
  const auto message = [&](std::size_t i, const at::Tensor& changed, const at::Tensor& starts,
                           const at::Tensor& state = {}) {
    auto x = in;
    x[i] = changed;
    try {
      wkv6(x[0], x[1], x[2], x[3], x[4], starts, state);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const at::Tensor starts = int64_list({0});
  EXPECT_EQ(message(0, in[0], starts), "no error");
  EXPECT_EQ(message(1, in[1].narrow(3, 0, 16), starts),
            "wkv6: k is (1, 8, 2, 16) but should be (1, 8, 2, 32) (all activations share one shape).");
  EXPECT_EQ(message(3, in[3].to(at::kBFloat16), starts),
            "wkv6: w is BFloat16 but should be Float (all activations share one type).");
  EXPECT_EQ(message(4, in[4].flatten(), starts), "wkv6: u is (64) but should be (2, 32) ((H, N)).");
  EXPECT_NE(message(0, in[0], int64_list({1})).find("begins with 1"), std::string::npos);
  EXPECT_NE(message(0, in[0], int64_list({0, 8})).find("there are 8 tokens"), std::string::npos);
  EXPECT_NE(
      message(0, in[0], starts, at::zeros({1, 2, 2, 32, 32})).find("initial_state is (1, 2, 2, 32, 32)"),
      std::string::npos);
}

}  // namespace
}  // namespace vrwkv::kernels
