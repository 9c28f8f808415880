// SPDX-License-Identifier: Apache-2.0
// The chunked WKV-6's CUDA source, compiled for the CPU and run under schedules that a GPU might or might not
// choose, against the recurrence in fp64.
#include <gtest/gtest.h>

#include <cmath>
#include <type_traits>

#include "tests/kernels/every_schedule.h"
#include "tests/kernels/wkv6_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv6Case;
using test::Wkv6Tensors;

struct Chunked {
  template <class Element>
  void forward(const Wkv6Inputs<Element>& in, const Wkv6Outputs<Element>& out) const {
    if constexpr (std::is_same_v<Element, Bf16>) cuda::wkv6_chunked_forward(in, out, /*stream=*/nullptr);
  }
  template <class Element>
  void backward(const Wkv6Inputs<Element>& in, const Wkv6OutputGradients<Element>& incoming,
                const Wkv6InputGradients<Element>& outgoing) const {
    if constexpr (std::is_same_v<Element, Bf16>)
      cuda::wkv6_chunked_backward(in, incoming, outgoing, /*stream=*/nullptr);
  }
};

Wkv6Case bf16(Wkv6Case c) {
  c.type = at::kBFloat16;
  return c;
}

void expect_near_reference(const std::vector<at::Tensor>& results, const Wkv6Case& c,
                           const Wkv6Tensors& tensors) {
  test::expect_wkv6_chunked_results_near(results, test::wkv6_expected(c, tensors));
}

class Wkv6Chunked : public testing::TestWithParam<Wkv6Case> {};

TEST_P(Wkv6Chunked, MatchesReferenceUnderItsSchedules) {
  const Wkv6Case& c = GetParam();
  const Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/21);
  const auto results =
      test::same_under_every_schedule(c.kind, [&] { return test::wkv6_raw_results(Chunked(), c, tensors); });
  expect_near_reference(results, c, tensors);
}

INSTANTIATE_TEST_SUITE_P(Short, Wkv6Chunked,
                         testing::ValuesIn(test::short_cases(bf16({1, 1, 1, 64, {0}, true}))),
                         test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, Wkv6Chunked,
                         testing::Values(bf16({2, 48, 1, 64, {0, 20}, true}),
                                         bf16({1, 41, 3, 64, {0, 1, 18}, false}),
                                         bf16({1, 150, 1, 64, {0, 1, 17, 50}, true})),
                         test::wkv6_case_name);

class Wkv6ChunkedLong : public testing::TestWithParam<Wkv6Case> {};

TEST_P(Wkv6ChunkedLong, MatchesReference) {
  const Wkv6Tensors tensors = test::random_wkv6_tensors(GetParam(), /*seed=*/27);
  expect_near_reference(test::wkv6_raw_results(Chunked(), GetParam(), tensors), GetParam(), tensors);
}

INSTANTIATE_TEST_SUITE_P(Bf16, Wkv6ChunkedLong,
                         testing::ValuesIn(test::long_cases(bf16({1, 1, 1, 64, {0}, true}))),
                         test::wkv6_case_name);

struct DecayCase {
  const char* name;
  double mean, spread;  // of w
};

class Wkv6ChunkedDecays : public testing::TestWithParam<DecayCase> {};

TEST_P(Wkv6ChunkedDecays, KeepTheErrorWhereItIs) {
  const Wkv6Case c = bf16({1, 100, 1, 64, {0}, true});
  Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/22);
  at::Generator generator = at::detail::createCPUGenerator(/*seed=*/26);
  const at::Tensor normal = at::randn({1, 100, 1, 64}, generator, at::kFloat);
  tensors.inputs[3] = (normal * GetParam().spread + GetParam().mean).to(at::kBFloat16);
  expect_near_reference(test::wkv6_raw_results(Chunked(), c, tensors), c, tensors);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Wkv6ChunkedDecays,
                         testing::Values(DecayCase{"typical", -3, 1.5}, DecayCase{"strong", 1, 0.5},
                                         DecayCase{"from_one_to_zero", 0, 4}),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Wkv6ChunkedDecay, ForgetsAllAtOnceForHugeW) {
  const Wkv6Case c = bf16({1, 40, 1, 64, {0}, true});
  Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/23);
  tensors.inputs[3] = at::full_like(tensors.inputs[3], 200.0);
  const auto results = test::wkv6_raw_results(Chunked(), c, tensors);
  for (const at::Tensor& tensor : results) EXPECT_TRUE(tensor.isfinite().all().item<bool>());
  EXPECT_EQ(results[5].abs().max().item<float>(), 0.0F);  // exp(w) exp(-exp(w)) is 0
  const auto expected = test::wkv6_expected(c, tensors);
  EXPECT_LE(test::relative_rms(results[0], expected[0]), 5e-3);
}

TEST(Wkv6ChunkedPieces, CarryTheStateAndItsGradient) {
  const Wkv6Case c = bf16({1, 77, 1, 64, {0}, true});
  const Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/29);
  const auto results_of = [](const auto&... of) { return test::wkv6_raw_results(Chunked(), of...); };
  const auto joined = test::results_in_pieces(results_of, c, tensors);
  test::expect_wkv6_chunked_results_near(joined, results_of(c, tensors));
  expect_near_reference(joined, c, tensors);
}

TEST(Wkv6ChunkedPieces, OfWholeChunksGiveTheSameBits) {
  const Wkv6Case whole = bf16({1, 64, 1, 64, {0}, true}), quarter = bf16({1, 16, 1, 64, {0}, true});
  const Wkv6Tensors tensors = test::random_wkv6_tensors(whole, /*seed=*/24);
  const auto expected = test::wkv6_raw_results(Chunked(), whole, tensors);
  at::Tensor state = tensors.initial_state;
  for (std::int64_t t = 0; t < 64; t += 16) {
    Wkv6Tensors piece = test::tokens_of(tensors, t, t + 16);
    piece.initial_state = state;
    const auto results = test::wkv6_raw_results(Chunked(), quarter, piece);
    EXPECT_TRUE(results[0].equal(expected[0].slice(1, t, t + 16))) << t;
    state = results[1];
  }
  EXPECT_TRUE(state.equal(expected[1]));
}

TEST(Wkv6ChunkedInputs, WithNotANumberGiveNotANumber) {
  const Wkv6Case c = bf16({1, 20, 2, 64, {0}, false});
  Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/25);
  tensors.inputs[1][0][17][0][5] = NAN;  // k of head 0
  const at::Tensor bad = test::wkv6_raw_results(Chunked(), c, tensors)[0].isnan();
  EXPECT_FALSE(bad.select(2, 1).any().item<bool>());
  EXPECT_FALSE(bad.narrow(1, 0, 16).any().item<bool>());
  EXPECT_TRUE(bad.narrow(1, 17, 3).select(2, 0).all().item<bool>());
}

}  // namespace
}  // namespace vrwkv::kernels
