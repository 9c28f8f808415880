// SPDX-License-Identifier: Apache-2.0
#include "kernels/token_shift/token_shift.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "common/error.h"
#include "kernels/token_shift/token_shift_reference.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

using test::int64_list;

struct Case {
  std::int64_t batch, tokens, channels;
  std::vector<std::int64_t> sequence_starts;
};

/// The output, then the gradients of x and of `previous`, if any.
std::vector<at::Tensor> results(const std::function<decltype(token_shift)>& function, const Case& c,
                                bool with_previous) {
  at::manual_seed(2);
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  std::vector<at::Tensor> leaves = {at::randn({c.batch, c.tokens, c.channels}).requires_grad_()};
  const at::Tensor gradient = at::randn({c.batch, c.tokens, c.channels});
  if (with_previous) leaves.push_back(at::randn({c.batch, sequences, c.channels}).requires_grad_());
  const at::Tensor out =
      function(leaves[0], int64_list(c.sequence_starts), with_previous ? leaves[1] : at::Tensor());
  std::vector<at::Tensor> all = {out};
  // A token alone feeds nobody: autograd then has no gradient to give.
  for (at::Tensor& x :
       torch::autograd::grad({out}, leaves, {gradient}, std::nullopt, false, /*allow_unused=*/true)) {
    all.push_back(x.defined() ? x : at::zeros_like(leaves[all.size() - 1]));
  }
  return all;
}

TEST(TokenShift, GivesTheReferencesBitsForwardAndBackward) {
  for (const Case& c : {Case{1, 2, 3, {0}}, Case{2, 7, 5, {0, 1, 2, 6}}, Case{3, 33, 17, {0, 32}},
                        Case{1, 5, 1, {0, 1, 2, 3, 4}}, Case{1, 2, 4, {0, 1}}}) {
    for (const bool with_previous : {false, true}) {
      const bool nothing_to_differentiate =
          !with_previous && static_cast<std::int64_t>(c.sequence_starts.size()) == c.tokens;
      if (nothing_to_differentiate) continue;
      const auto expected = results(token_shift_reference, c, with_previous);
      const test::NanFilledFreshMemory fresh;
      const auto actual = results(token_shift, c, with_previous);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_TRUE(actual[i].equal(expected[i])) << c.tokens << " " << i;
    }
  }
}

TEST(TokenShift, GivesZerosWhereEverySequenceIsOneToken) {
  const at::Tensor x = at::randn({2, 3, 4}).requires_grad_();
  const at::Tensor out = token_shift(x, int64_list({0, 1, 2}));
  EXPECT_EQ(out.abs().max().item<float>(), 0.0F);
  const auto gradient = torch::autograd::grad({out}, {x}, {at::ones({2, 3, 4})})[0];
  EXPECT_EQ(gradient.abs().max().item<float>(), 0.0F);
}

TEST(TokenShift, TakesStridedInput) {
  const at::Tensor x = at::randn({4, 6, 2}).transpose(0, 1);
  EXPECT_TRUE(token_shift(x, int64_list({0, 3})).equal(token_shift_reference(x, int64_list({0, 3}))));
}

TEST(TokenShift, RefusesWhatDoesNotFit) {
  const at::Tensor x = at::zeros({1, 4, 3});
  EXPECT_THROW(token_shift(x[0], int64_list({0})), ShapeError);
  EXPECT_THROW(token_shift(x, int64_list({0, 4})), ShapeError);
  EXPECT_THROW(token_shift(x, at::zeros({1}, at::kInt)), ShapeError);
  EXPECT_THROW(token_shift(x, int64_list({0, 2}), at::zeros({1, 1, 3})), ShapeError);
  EXPECT_THROW(token_shift(x, int64_list({0}), at::zeros({1, 1, 3}, at::kDouble)), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
