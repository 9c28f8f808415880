// SPDX-License-Identifier: Apache-2.0
// logit_rows_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <gtest/gtest.h>

#include "tests/kernels/every_schedule.h"
#include "tests/kernels/logit_rows_cases.h"

namespace vrwkv::kernels {
namespace {

const test::LogitRowsBackend kEmulated{.merge_statistics =
                                           [](const LogitRows& tile, const float* logits, float* losses) {
                                             cuda::merge_statistics(tile, logits, losses, /*stream=*/nullptr);
                                           },
                                       .to_gradient =
                                           [](const LogitRows& tile, float scale, float* logits) {
                                             cuda::logits_to_gradient(tile, scale, logits, logits,
                                                                      /*stream=*/nullptr);
                                           }};

TEST(LogitRowsEmulated, MatchAutogradWithTheSameBitsUnderEverySchedule) {
  for (const auto& c : test::kLogitRowsCases) {
    const auto tensors = test::random_logit_rows(c);
    const auto actual =
        test::same_under_every_schedule([&] { return test::logit_rows_results(kEmulated, c, tensors); });
    // exp_fast(x) is off by (2 + |x|) 2^-22, and x is about -10 where it counts.
    test::expect_logit_rows_near(actual, c, tensors, 4e-6);
  }
}

TEST(LogitRowsEmulated, SeeANanFromAnyPiece) { test::expect_nan_is_seen_from_any_piece(kEmulated); }

TEST(LogitRowsEmulated, RoundTheGradientToBf16) {
  const test::LogitRowsCase c{3, 300, 300};
  const auto tensors = test::random_logit_rows(c);
  const at::Tensor rounded = at::zeros({c.rows, c.columns}, at::kBFloat16);
  const test::LogitRowsBackend to_bf16{
      .merge_statistics = kEmulated.merge_statistics,
      .to_gradient = [&](const LogitRows& tile, float scale, const float* logits) {
        cuda::logits_to_gradient(tile, scale, logits, static_cast<Bf16*>(rounded.data_ptr()), nullptr);
      }};
  test::logit_rows_results(to_bf16, c, tensors);
  const auto in_fp32 = test::logit_rows_results(kEmulated, c, tensors);
  EXPECT_TRUE(rounded.equal(in_fp32[1].to(at::kBFloat16)));
}

}  // namespace
}  // namespace vrwkv::kernels
