// SPDX-License-Identifier: Apache-2.0
// norm_shift_mix_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/norm_shift_mix_cases.h"

namespace vrwkv::kernels {
namespace {

using test::NormShiftMixCase;

template <class Element>
test::NormShiftMixResults emulated(const NormShiftMixCase& c, const test::NormShiftMixTensors& tensors) {
  return test::raw_norm_shift_mix<Element>(
      c, tensors, /*range_tokens=*/4,
      [](const auto& in, const auto& kept, const auto& out) {
        cuda::norm_shift_mix_forward(in, kept, out, /*stream=*/nullptr);
      },
      [](const auto& in, const auto& kept, const auto& gradients) {
        cuda::norm_shift_mix_backward(in, kept, gradients, /*stream=*/nullptr);
      });
}

class NormShiftMixEmulated : public testing::TestWithParam<NormShiftMixCase> {};

TEST_P(NormShiftMixEmulated, MatchesReferenceWithTheSameBitsUnderEverySchedule) {
  const NormShiftMixCase& c = GetParam();
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/8);
  const test::NormShiftMixResults results = test::same_under_every_schedule(
      [&] { return c.type == at::kFloat ? emulated<float>(c, tensors) : emulated<Bf16>(c, tensors); });
  test::expect_norm_shift_mix_near(results, test::expected_norm_shift_mix(c, tensors));
}

/// Of ranges of four tokens. The channels of 296 = 8 * 37 leave most of a second warp without any; 4,096 are
/// the most, and ask for the most shared memory.
INSTANTIATE_TEST_SUITE_P(Shapes, NormShiftMixEmulated,
                         testing::Values(NormShiftMixCase{1, 8, 6, {0}, false, at::kFloat},
                                         NormShiftMixCase{1, 16, 1, {0}, true, at::kBFloat16},
                                         NormShiftMixCase{2, 48, 6, {0, 1}, true, at::kBFloat16},
                                         NormShiftMixCase{13, 296, 1, {0, 2, 9}, true, at::kFloat},
                                         NormShiftMixCase{17, 296, 6, {0, 1, 4, 7, 8, 15}, true, at::kFloat},
                                         NormShiftMixCase{17, 296, 1, {0, 3, 4, 5, 12}, false, at::kBFloat16},
                                         NormShiftMixCase{9, 768, 6, {0}, false, at::kBFloat16},
                                         NormShiftMixCase{2, 4096, 1, {0}, false, at::kBFloat16},
                                         NormShiftMixCase{2, 4096, 6, {0}, false, at::kFloat}),
                         test::norm_shift_mix_case_name);

TEST(NormShiftMixEmulatedForward, KeepsNothingWhenNothingIsWanted) {
  const NormShiftMixCase c{6, 16, 6, {0, 2}, false, at::kFloat};
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/9);
  const auto forgetful = test::raw_norm_shift_mix<float>(
      c, tensors, /*range_tokens=*/4,
      [](const auto& in, const auto&, const auto& out) {
        cuda::norm_shift_mix_forward(in, {}, out, nullptr);
      },
      [](const auto&...) {});
  const auto kept = emulated<float>(c, tensors);
  EXPECT_TRUE(forgetful[0].equal(kept[0]));
  EXPECT_TRUE(forgetful[1].equal(kept[1]));
}

}  // namespace
}  // namespace vrwkv::kernels
