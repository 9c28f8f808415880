// SPDX-License-Identifier: Apache-2.0
// wkv6_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/wkv6_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv6Case;

struct Emulated {
  template <class... Arguments>
  void forward(const Arguments&... arguments) const {
    cuda::wkv6_forward(arguments..., /*stream=*/nullptr);
  }
  template <class... Arguments>
  void backward(const Arguments&... arguments) const {
    cuda::wkv6_backward(arguments..., /*stream=*/nullptr);
  }
};

struct Forgetful : Emulated {
  template <class Inputs, class Outputs>
  void forward(const Inputs& in, Outputs out) const {
    out.kept_states = nullptr;
    Emulated::forward(in, out);
  }
  template <class... Arguments>
  void backward(const Arguments&...) const {}
};

class Wkv6Emulated : public testing::TestWithParam<Wkv6Case> {};

TEST_P(Wkv6Emulated, MatchesReferenceUnderItsSchedules) {
  const Wkv6Case& c = GetParam();
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/17);
  const auto results =
      test::same_under_every_schedule(c.kind, [&] { return test::wkv6_raw_results(Emulated(), c, tensors); });
  test::expect_wkv6_results_near(results, test::wkv6_expected(c, tensors));
}

INSTANTIATE_TEST_SUITE_P(Fp32, Wkv6Emulated,
                         testing::ValuesIn(test::short_cases(Wkv6Case{1, 1, 1, 64, {0}, true})),
                         test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(
    Bf16, Wkv6Emulated, testing::ValuesIn(test::short_cases(Wkv6Case{1, 1, 1, 64, {0}, true, at::kBFloat16})),
    test::wkv6_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, Wkv6Emulated,
                         testing::Values(Wkv6Case{2, 3, 3, 64, {0, 1}, true},    //
                                         Wkv6Case{1, 33, 2, 32, {0}, true},      //
                                         Wkv6Case{1, 19, 1, 128, {0, 2}, true},  //
                                         Wkv6Case{2, 17, 1, 32, {0}, false, at::kBFloat16},
                                         Wkv6Case{1, 17, 1, 128, {0, 1}, true, at::kBFloat16}),
                         test::wkv6_case_name);

class Wkv6EmulatedLong : public testing::TestWithParam<Wkv6Case> {};

TEST_P(Wkv6EmulatedLong, MatchesReference) {
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(GetParam(), /*seed=*/20);
  test::expect_wkv6_results_near(test::wkv6_raw_results(Emulated(), GetParam(), tensors),
                                 test::wkv6_expected(GetParam(), tensors));
}

INSTANTIATE_TEST_SUITE_P(Fp32, Wkv6EmulatedLong,
                         testing::ValuesIn(test::long_cases(Wkv6Case{1, 1, 1, 64, {0}, true})),
                         test::wkv6_case_name);

TEST(Wkv6EmulatedPieces, CarryTheStateAndItsGradient) {
  const Wkv6Case c{1, 77, 1, 64, {0}, true};
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/21);
  const auto results_of = [](const auto&... of) { return test::wkv6_raw_results(Emulated(), of...); };
  const auto joined = test::results_in_pieces(results_of, c, tensors);
  test::expect_wkv6_results_near(joined, results_of(c, tensors));
  test::expect_wkv6_results_near(joined, test::wkv6_expected(c, tensors));
}

TEST(Wkv6EmulatedForward, KeepsNothingWhenNothingIsWanted) {
  const Wkv6Case c{1, 20, 1, 32, {0}, false};
  const test::Wkv6Tensors tensors = test::random_wkv6_tensors(c, /*seed=*/18);
  const auto kept = test::wkv6_raw_results(Emulated(), c, tensors);
  const auto not_kept = test::wkv6_raw_results(Forgetful(), c, tensors);
  EXPECT_TRUE(not_kept[0].equal(kept[0]));
  EXPECT_TRUE(not_kept[1].equal(kept[1]));
}

TEST(Wkv6EmulatedForward, StaysExactFromNoneToAllForgotten) {
  const Wkv6Case c{1, 20, 1, 64, {0}, true};
  auto tensors = test::random_wkv6_tensors(c, /*seed=*/19);
  tensors.inputs[3] = at::linspace(-30.0, 200.0, tensors.inputs[3].numel()).view_as(tensors.inputs[3]);
  test::expect_wkv6_results_near(test::wkv6_raw_results(Emulated(), c, tensors),
                                 test::wkv6_expected(c, tensors));
}

TEST(Wkv6EmulatedForward, RefusesOtherHeadSizes) {
  const Wkv6Case c{1, 2, 1, 48, {0}, false};
  EXPECT_THROW(test::wkv6_raw_results(Emulated(), c, test::random_wkv6_tensors(c, /*seed=*/1)), DeviceError);
}

}  // namespace
}  // namespace vrwkv::kernels
