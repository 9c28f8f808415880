// SPDX-License-Identifier: Apache-2.0
// wkv7_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/wkv7_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv7Case;

struct Emulated {
  template <class... Arguments>
  void forward(const Arguments&... arguments) const {
    cuda::wkv7_forward(arguments..., /*stream=*/nullptr);
  }
  template <class Inputs, class Incoming, class Outgoing>
  void backward(const Inputs& in, const Wkv7Kept& kept, const Incoming& incoming,
                const Outgoing& outgoing) const {
    const at::Tensor workspace = at::full({wkv7_workspace_bytes(in, kept.interval)}, 0xFF, at::kByte);
    cuda::wkv7_backward(in, kept, incoming, outgoing, elements<std::uint8_t>(workspace), /*stream=*/nullptr);
  }
};

struct Forgetful : Emulated {
  template <class Inputs, class Outputs>
  void forward(const Inputs& in, const Outputs& out, const Wkv7Kept&) const {
    cuda::wkv7_forward(in, out, Wkv7Kept{.interval = kWkv7Chunk, .states = nullptr, .state_a = nullptr},
                       /*stream=*/nullptr);
  }
  template <class... Arguments>
  void backward(const Arguments&...) const {}
};

class Wkv7Emulated : public testing::TestWithParam<Wkv7Case> {};

TEST_P(Wkv7Emulated, MatchesReferenceUnderItsSchedules) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/17);
  const auto results =
      test::same_under_every_schedule(c.kind, [&] { return test::wkv7_raw_results(Emulated(), c, tensors); });
  test::expect_wkv7_results_near(results, test::wkv7_expected(c, tensors));
}

constexpr DecayInput kRaw = DecayInput::kRaw, kPreClamped = DecayInput::kPreClamped;

INSTANTIATE_TEST_SUITE_P(Fp32, Wkv7Emulated,
                         testing::ValuesIn(test::short_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kPreClamped})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(Bf16, Wkv7Emulated,
                         testing::ValuesIn(test::short_cases(Wkv7Case{
                             1, 1, 1, 64, {0}, true, kRaw, at::kBFloat16})),
                         test::wkv7_case_name);
INSTANTIATE_TEST_SUITE_P(OtherSizes, Wkv7Emulated,
                         testing::Values(Wkv7Case{2, 3, 3, 64, {0, 1}, true},         //
                                         Wkv7Case{1, 18, 1, 64, {0, 1}, true, kRaw},  //
                                         Wkv7Case{1, 33, 2, 32, {0}, true},           //
                                         Wkv7Case{1, 19, 1, 128, {0, 2}, true},
                                         Wkv7Case{1, 18, 1, 128, {0}, false, kRaw, at::kBFloat16},
                                         Wkv7Case{2, 17, 1, 32, {0}, false, kRaw, at::kBFloat16}),
                         test::wkv7_case_name);

class Wkv7EmulatedLong : public testing::TestWithParam<Wkv7Case> {};

TEST_P(Wkv7EmulatedLong, MatchesReference) {
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(GetParam(), /*seed=*/20);
  test::expect_wkv7_results_near(test::wkv7_raw_results(Emulated(), GetParam(), tensors),
                                 test::wkv7_expected(GetParam(), tensors));
}

INSTANTIATE_TEST_SUITE_P(Fp32, Wkv7EmulatedLong,
                         testing::ValuesIn(test::long_cases(Wkv7Case{1, 1, 1, 64, {0}, true, kRaw})),
                         test::wkv7_case_name);

TEST(Wkv7EmulatedPieces, CarryTheStateAndItsGradient) {
  const Wkv7Case c{1, 77, 1, 64, {0}, true, kRaw};
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/21);
  const auto results_of = [](const auto&... of) { return test::wkv7_raw_results(Emulated(), of...); };
  const auto joined = test::results_in_pieces(results_of, c, tensors);
  test::expect_wkv7_results_near(joined, results_of(c, tensors));
  test::expect_wkv7_results_near(joined, test::wkv7_expected(c, tensors));
}

TEST(Wkv7EmulatedKeptStates, GiveTheSameBitsHoweverFewAreKept) {
  const Wkv7Case c{2, 90, 1, 32, {0, 20}, true, kRaw};
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/19);
  const auto all = test::wkv7_raw_results(Emulated(), c, tensors);
  for (const std::int64_t interval : {32, 64, 128}) {
    const auto few = test::wkv7_raw_results(Emulated(), c, tensors, interval);
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(few[i].equal(all[i])) << interval << ", " << i;
  }
}

TEST(Wkv7EmulatedForward, KeepsNothingWhenNothingIsWanted) {
  const Wkv7Case c{1, 20, 1, 32, {0}, false};
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/18);
  const auto kept = test::wkv7_raw_results(Emulated(), c, tensors);
  const auto not_kept = test::wkv7_raw_results(Forgetful(), c, tensors);
  EXPECT_TRUE(not_kept[0].equal(kept[0]));
  EXPECT_TRUE(not_kept[1].equal(kept[1]));
}

TEST(Wkv7EmulatedForward, RefusesOtherHeadSizes) {
  const Wkv7Case c{1, 2, 1, 48, {0}, false};
  EXPECT_THROW(test::wkv7_raw_results(Emulated(), c, test::random_wkv7_tensors(c, /*seed=*/1)), DeviceError);
}

}  // namespace
}  // namespace vrwkv::kernels
