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
                             float* logits) { to_gradient(tile, scale, logits, logits, 0, tile.rows); }};
}

const test::LogitRowsBackend kWhole{.merge_statistics = cpu::merge_statistics,
                                    .to_gradient = [](const LogitRows& tile, float scale, float* logits) {
                                      cpu::logits_to_gradient(tile, scale, logits, logits);
                                    }};

VRWKV_TEST_EACH_INSTRUCTION_SET(LogitRowsInstructionSets, MatchesAutograd, {
  const auto backend = one_set(set::merge_statistics_of, set::logits_to_gradient_of);
  for (const auto& c : kLogitRowsCases) {
    const auto tensors = test::random_logit_rows(c);
    test::expect_logit_rows_near(test::logit_rows_results(backend, c, tensors), c, tensors, 1e-6);
  }
})

VRWKV_TEST_EACH_INSTRUCTION_SET(LogitRowsInstructionSets, SeeANanFromAnyPiece, {
  test::expect_nan_is_seen_from_any_piece(one_set(set::merge_statistics_of, set::logits_to_gradient_of));
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
