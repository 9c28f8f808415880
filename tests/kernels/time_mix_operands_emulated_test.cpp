// SPDX-License-Identifier: Apache-2.0
// time_mix_operands_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not
// choose.
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/time_mix_operands_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::TimeMixOperandsCase;
using test::TimeMixOperandsTensors;

struct Emulated {
  template <class... Arguments>
  void forward(const Arguments&... arguments) const {
    cuda::time_mix_operands_forward(arguments..., /*stream=*/nullptr);
  }
  template <class... Arguments>
  void backward(const Arguments&... arguments) const {
    cuda::time_mix_operands_backward(arguments..., /*stream=*/nullptr);
  }
};

class TimeMixOperandsEmulated : public testing::TestWithParam<TimeMixOperandsCase> {};

TEST_P(TimeMixOperandsEmulated, MatchesReferenceWithTheSameBitsUnderEverySchedule) {
  const TimeMixOperandsCase& c = GetParam();
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/41);
  const auto expected = test::time_mix_operands_results(time_mix_operands_reference, tensors);
  const auto actual = test::same_under_every_schedule(
      [&] { return test::time_mix_operands_raw_results(Emulated(), c, tensors); });
  test::expect_time_mix_operands_near(actual, expected, c.mixes_values);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TimeMixOperandsEmulated,
                         testing::Values(TimeMixOperandsCase{1, 1, 64, true, at::kFloat},     //
                                         TimeMixOperandsCase{2, 3, 32, true, at::kFloat},     //
                                         TimeMixOperandsCase{35, 12, 64, true, at::kFloat},   //
                                         TimeMixOperandsCase{17, 3, 128, false, at::kFloat},  //
                                         TimeMixOperandsCase{64, 1, 32, true, at::kBFloat16},
                                         TimeMixOperandsCase{17, 3, 64, true, at::kBFloat16},
                                         TimeMixOperandsCase{17, 3, 128, true, at::kBFloat16}),
                         test::time_mix_operands_case_name);

TEST(TimeMixOperandsEmulatedInputs, MayVanishAndSaturate) {
  const TimeMixOperandsCase c{5, 1, 64, true, at::kFloat};
  TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/42);
  tensors.inputs[1].mul_(at::tensor({0.0, 1e-15, 1e-30, 1.0, 1.0}).unsqueeze(1));
  const at::Tensor gates =
      at::tensor({0., -1e4, 1e4, -80., 80.}, at::kFloat).unsqueeze(1).expand({5, 64}).contiguous();
  tensors.inputs[3] = gates;
  tensors.inputs[4] = -gates;
  const auto expected = test::time_mix_operands_results(time_mix_operands_reference, tensors);
  const auto actual = test::time_mix_operands_raw_results(Emulated(), c, tensors);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(actual[i].isfinite().all().item<bool>()) << i;
    if (actual[i].sizes() != tensors.inputs[0].sizes()) continue;
    for (std::int64_t t = 0; t < c.tokens; ++t)  // sizes differ by 1e12
      EXPECT_LE(test::relative_rms(actual[i][t], expected[i][t]), 2e-6) << i << " " << t;
  }
}

TEST(TimeMixOperandsEmulatedInputs, HaveNoOtherHeadSizes) {
  const TimeMixOperandsCase c{2, 1, 48, true, at::kFloat};
  const TimeMixOperandsTensors tensors = test::random_time_mix_operands_tensors(c, /*seed=*/43);
  EXPECT_THROW(test::time_mix_operands_raw_results(Emulated(), c, tensors), DeviceError);
}

}  // namespace
}  // namespace vrwkv::kernels
