// SPDX-License-Identifier: Apache-2.0
// norm_bonus_gate_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/norm_bonus_gate_raw_call.h"

namespace vrwkv::kernels {
namespace {

using test::NormBonusGateCase;
using test::NormBonusGateTensors;

struct Emulated {
  template <class... Arguments>
  void forward(const Arguments&... arguments) const {
    cuda::norm_bonus_gate_forward(arguments..., /*stream=*/nullptr);
  }
  template <class... Arguments>
  void backward(const Arguments&... arguments) const {
    cuda::norm_bonus_gate_backward(arguments..., /*stream=*/nullptr);
  }
};

class NormBonusGateEmulated : public testing::TestWithParam<NormBonusGateCase> {};

TEST_P(NormBonusGateEmulated, MatchesReferenceWithTheSameBitsUnderEverySchedule) {
  const NormBonusGateCase& c = GetParam();
  const NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors(c, /*seed=*/61);
  const auto expected = test::norm_bonus_gate_results(norm_bonus_gate_reference, tensors);
  const auto actual = test::same_under_every_schedule(
      [&] { return test::norm_bonus_gate_raw_results(Emulated(), c, tensors); });
  test::expect_norm_bonus_gate_near(actual, expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormBonusGateEmulated,
                         testing::Values(NormBonusGateCase{1, 1, 64, at::kFloat},      //
                                         NormBonusGateCase{2, 3, 32, at::kFloat},      //
                                         NormBonusGateCase{35, 12, 64, at::kFloat},    //
                                         NormBonusGateCase{17, 3, 128, at::kFloat},    //
                                         NormBonusGateCase{64, 1, 32, at::kBFloat16},  //
                                         NormBonusGateCase{17, 3, 64, at::kBFloat16},
                                         NormBonusGateCase{17, 3, 128, at::kBFloat16}),
                         test::norm_bonus_gate_case_name);

TEST(NormBonusGateEmulatedInputs, HaveNoOtherHeadSizes) {
  const NormBonusGateCase c{2, 1, 48, at::kFloat};
  const NormBonusGateTensors tensors = test::random_norm_bonus_gate_tensors(c, /*seed=*/62);
  EXPECT_THROW(test::norm_bonus_gate_raw_results(Emulated(), c, tensors), DeviceError);
}

}  // namespace
}  // namespace vrwkv::kernels
