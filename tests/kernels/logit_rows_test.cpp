// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/logit_rows_cases.h"

namespace vrwkv::kernels {
namespace {

using test::kLogitRowsCases;

template <class Merge, class ToGradient>
test::LogitRowsBackend one_set(Merge merge, ToGradient to_gradient) {
  return {.merge_statistics = [=](const LogitRows& tile, const float* logits,
                                  float* losses) { merge(tile, logits, losses, 0, tile.rows); },
          .to_gradient = [=](const LogitRows& tile, float scale,
                             float* logits) { to_gradient(tile, scale, logits, 0, tile.rows); }};
}

const test::LogitRowsBackend kWhole{.merge_statistics = cpu::merge_statistics,
                                    .to_gradient = cpu::logits_to_gradient<float>};

VRWKV_TEST_EACH_INSTRUCTION_SET(LogitRowsInstructionSets, MatchesAutograd, {
  const auto backend = one_set(set::merge_statistics_of, set::logits_to_gradient_of<float>);
  for (const auto& c : kLogitRowsCases) {
    const auto tensors = test::random_logit_rows(c);
    test::expect_logit_rows_near(test::logit_rows_results(backend, c, tensors), c, tensors, 1e-6);
  }
})

VRWKV_TEST_EACH_INSTRUCTION_SET(LogitRowsInstructionSets, SeeANanFromAnyPiece, {
  test::expect_nan_is_seen_from_any_piece(
      one_set(set::merge_statistics_of, set::logits_to_gradient_of<float>));
})

// In place: what a row has behind its rounded gradient is not read again.
VRWKV_TEST_EACH_INSTRUCTION_SET(LogitRowsInstructionSets, RoundTheGradientToBf16, {
  const auto in_fp32 = one_set(set::merge_statistics_of, set::logits_to_gradient_of<float>);
  const auto in_bf16 = one_set(set::merge_statistics_of, set::logits_to_gradient_of<Bf16>);
  for (const auto& c : kLogitRowsCases) {
    const test::LogitRowsCase whole{c.rows, c.columns, c.columns, c.size};
    const auto tensors = test::random_logit_rows(whole);
    const at::Tensor expected = test::logit_rows_results(in_fp32, whole, tensors)[1].to(at::kBFloat16);
    const at::Tensor rows = test::logit_rows_results(in_bf16, whole, tensors)[1];
    EXPECT_TRUE(rows.view(at::kBFloat16).narrow(1, 0, c.columns).equal(expected));
  }
})

TEST(LogitRows, GiveTheSameBitsForEveryNumberOfThreads) {
  const test::LogitRowsCase c{37, 501, 100};
  const auto tensors = test::random_logit_rows(c);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = test::logit_rows_results(kWhole, c, tensors);
  at::set_num_threads(3);
  const auto three = test::logit_rows_results(kWhole, c, tensors);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(three[i].equal(one[i]));
}

}  // namespace
}  // namespace vrwkv::kernels
