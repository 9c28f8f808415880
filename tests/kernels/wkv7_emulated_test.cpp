// SPDX-License-Identifier: Apache-2.0
// wkv7_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/wkv7_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::Wkv7Case;

const test::Wkv7Backend kEmulated{
    .forward = [](const Wkv7Inputs& in, const Wkv7Outputs& out,
                  const Wkv7Kept& kept) { cuda::wkv7_forward(in, out, kept, /*stream=*/nullptr); },
    .backward =
        [](const Wkv7Inputs& in, const Wkv7Kept& kept, const Wkv7OutputGradients& gradients_in,
           const Wkv7InputGradients& gradients_out) {
          cuda::wkv7_backward(in, kept, gradients_in, gradients_out, /*stream=*/nullptr);
        }};

class Wkv7Emulated : public testing::TestWithParam<Wkv7Case> {};

TEST_P(Wkv7Emulated, MatchesReferenceWithTheSameBitsUnderEverySchedule) {
  const Wkv7Case& c = GetParam();
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/17);
  const auto results =
      test::same_under_every_schedule([&] { return test::wkv7_raw_results(kEmulated, c, tensors); });
  test::expect_wkv7_results_near(results, test::wkv7_results(wkv7_reference, c, tensors));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Wkv7Emulated,
                         testing::Values(Wkv7Case{1, 16, 1, 64, {0}, false},     //
                                         Wkv7Case{1, 35, 1, 64, {0, 18}, true},  //
                                         Wkv7Case{2, 3, 3, 64, {0, 1}, true},    //
                                         Wkv7Case{1, 33, 2, 32, {0}, true},      //
                                         Wkv7Case{1, 18, 1, 64, {0, 1}, true, DecayInput::kRaw},
                                         Wkv7Case{1, 19, 1, 128, {0, 2}, true}),
                         test::wkv7_case_name);

TEST(Wkv7EmulatedForward, KeepsNothingWhenNothingIsWanted) {
  const Wkv7Case c{1, 20, 1, 32, {0}, false};
  const test::Wkv7Tensors tensors = test::random_wkv7_tensors(c, /*seed=*/18);
  const test::Wkv7Backend forgetful{
      .forward = [](const Wkv7Inputs& in, const Wkv7Outputs& out,
                    const Wkv7Kept&) { cuda::wkv7_forward(in, out, Wkv7Kept{}, nullptr); },
      .backward = [](const auto&...) {}};
  const auto kept = test::wkv7_raw_results(kEmulated, c, tensors);
  const auto not_kept = test::wkv7_raw_results(forgetful, c, tensors);
  EXPECT_TRUE(not_kept[0].equal(kept[0]));
  EXPECT_TRUE(not_kept[1].equal(kept[1]));
}

TEST(Wkv7EmulatedForward, RefusesOtherHeadSizes) {
  const Wkv7Case c{1, 2, 1, 48, {0}, false};
  EXPECT_THROW(test::wkv7_raw_results(kEmulated, c, test::random_wkv7_tensors(c, /*seed=*/1)), DeviceError);
}

}  // namespace
}  // namespace vrwkv::kernels
