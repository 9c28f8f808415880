// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm_shift_mix/norm_shift_mix.h"

#include <ATen/Parallel.h>

#include "common/error.h"
#include "kernels/norm_shift_mix/norm_shift_mix_cpu_range.h"
#include "kernels/token_ranges.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/norm_shift_mix_cases.h"

namespace vrwkv::kernels {
namespace {

using test::int64_list;
using test::NormShiftMixCase;

/// Sequences that begin and end at, before and after the edges of ranges, some of one token.
const std::vector<std::int64_t> kManyStarts = {0, 1, 2, 31, 32, 33, 40, 63, 64, 96, 99};

std::vector<NormShiftMixCase> cases() {
  std::vector<NormShiftMixCase> all;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t mix_count : {1, 6}) {
      all.insert(all.end(), {{1, 16, mix_count, {0}, false, type},
                             {1, 48, mix_count, {0}, true, type},
                             {2, 48, mix_count, {0}, false, type},
                             {2, 16, mix_count, {0, 1}, true, type},
                             {17, 768, mix_count, {0, 5}, true, type},
                             {64, 304, mix_count, {0}, false, type},
                             {100, 48, mix_count, kManyStarts, true, type},
                             {100, 80, mix_count, kManyStarts, false, type}});
    }
  }
  return all;
}

class NormShiftMixCases : public testing::TestWithParam<NormShiftMixCase> {};

TEST_P(NormShiftMixCases, MatchReferenceForwardAndBackward) {
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(GetParam(), /*seed=*/3);
  const auto expected = test::expected_norm_shift_mix(GetParam(), tensors);
  const test::NanFilledFreshMemory fresh;
  test::expect_norm_shift_mix_near(test::norm_shift_mix_results(norm_shift_mix, GetParam(), tensors),
                                   expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormShiftMixCases, testing::ValuesIn(cases()),
                         test::norm_shift_mix_case_name);

/// Ranges one after the other, each in scratch memory full of NaN.
template <class Element, class Forward, class Backward>
test::NormShiftMixResults results_by_range(const NormShiftMixCase& c,
                                           const test::NormShiftMixTensors& tensors, Forward forward_range,
                                           Backward backward_range) {
  const auto each_range = [&](auto range_function, std::int64_t scratch_rows) {
    return [&c, range_function, scratch_rows](const auto& in, const auto& kept, const auto& results) {
      for (std::int64_t index = 0; index < in.ranges(); ++index) {
        const at::Tensor scratch = at::full({scratch_rows * c.channels}, NAN);
        range_function(in, kept, results, packed_range(in, index), scratch.data_ptr<float>());
      }
    };
  };
  return test::raw_norm_shift_mix<Element>(c, tensors, kRangeTokens,
                                           each_range(forward_range, cpu::kNormShiftMixForwardRows),
                                           each_range(backward_range, cpu::kNormShiftMixBackwardRows));
}

VRWKV_TEST_EACH_INSTRUCTION_SET(NormShiftMixInstructionSets, MatchesReference, {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const NormShiftMixCase c{100, 112, 6, kManyStarts, true, type};
    const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/4);
    with_element_of(tensors.x, [&](auto element) {
      using Element = decltype(element);
      test::expect_norm_shift_mix_near(
          results_by_range<Element>(c, tensors, set::norm_shift_mix_forward_range<Element>,
                                    set::norm_shift_mix_backward_range<Element>),
          test::expected_norm_shift_mix(c, tensors));
    });
  }
})

TEST(NormShiftMix, GivesTheSameBitsForAnyNumberOfThreadsAndWithoutGradients) {
  const NormShiftMixCase c{200, 64, 6, {0, 50}, true, at::kFloat};
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/5);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = test::norm_shift_mix_results(norm_shift_mix, c, tensors);
  at::set_num_threads(3);
  const auto together = test::norm_shift_mix_results(norm_shift_mix, c, tensors);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i)
    EXPECT_TRUE(together[i].equal(alone[i])) << test::kNormShiftMixResultNames[i];
  const NormShiftMix inference =
      norm_shift_mix(tensors.x, tensors.weight, tensors.bias, test::kNormShiftMixEpsilon, tensors.mixes,
                     int64_list(c.sequence_starts), tensors.previous);
  EXPECT_FALSE(inference.mixed.requires_grad());
  EXPECT_TRUE(inference.mixed.equal(alone[0]));
  EXPECT_TRUE(inference.last.equal(alone[1]));
}

TEST(NormShiftMix, GoesOnFromTheLastTokenOfACallBefore) {
  const NormShiftMixCase c{40, 32, 6, {0}, false, at::kFloat};
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/6);
  const auto run = [&](const at::Tensor& x, const at::Tensor& previous) {
    return norm_shift_mix(x, tensors.weight, tensors.bias, test::kNormShiftMixEpsilon, tensors.mixes,
                          int64_list({0}), previous);
  };
  const NormShiftMix whole = run(tensors.x, {}), first = run(tensors.x.narrow(0, 0, 7), {});
  const NormShiftMix second = run(tensors.x.narrow(0, 7, 33), first.last);
  EXPECT_TRUE(at::cat({first.mixed, second.mixed}, 1).equal(whole.mixed));
  EXPECT_TRUE(second.last.equal(whole.last));
}

TEST(NormShiftMix, TakesStridedTensorsAndParametersOfAnyShape) {
  const NormShiftMixCase c{5, 32, 1, {0}, false, at::kFloat};
  test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/7);
  const auto expected = test::norm_shift_mix_results(norm_shift_mix, c, tensors);
  const at::Tensor x = tensors.x.t().contiguous().t().requires_grad_();
  const at::Tensor mix = tensors.mixes[0].view({1, 1, 32}).clone().requires_grad_();
  const NormShiftMix result =
      norm_shift_mix(x, tensors.weight, tensors.bias, test::kNormShiftMixEpsilon, {mix}, int64_list({0}));
  EXPECT_TRUE(result.mixed.equal(expected[0]));
  const auto gradients = torch::autograd::grad(
      {result.mixed, result.x}, {x, mix},
      {tensors.gradient.transpose(1, 2).contiguous().transpose(1, 2), tensors.more_x.t().contiguous().t()});
  EXPECT_TRUE(gradients[0].equal(expected[2]));
  EXPECT_TRUE(gradients[1].view({1, 32}).equal(expected[5]));
}

TEST(NormShiftMix, GivesXTheGradientsThatComeByEitherOfItsReaders) {
  const NormShiftMixCase c{40, 32, 6, {0, 7}, false, at::kFloat};
  const test::NormShiftMixTensors tensors = test::random_norm_shift_mix(c, /*seed=*/10);
  const at::Tensor x = tensors.x.clone().requires_grad_();
  const auto gradient = [&](bool by_mixed, bool by_x) {
    const NormShiftMix result = norm_shift_mix(x, tensors.weight, tensors.bias, test::kNormShiftMixEpsilon,
                                               tensors.mixes, int64_list(c.sequence_starts));
    std::vector<at::Tensor> outputs, gradients;
    if (by_mixed) outputs.push_back(result.mixed), gradients.push_back(tensors.gradient);
    if (by_x) outputs.push_back(result.x), gradients.push_back(tensors.more_x);
    return torch::autograd::grad(outputs, {x}, gradients)[0];
  };
  EXPECT_TRUE(gradient(false, true).equal(tensors.more_x));
  EXPECT_LE(test::relative_rms(gradient(true, true), gradient(true, false) + tensors.more_x), 2e-6);
}

TEST(NormShiftMix, KeepsNanToItsTokenAndTheNext) {
  at::Tensor x = at::randn({6, 16});
  x[2][3] = NAN;
  const at::Tensor mixed =
      norm_shift_mix(x, at::ones({16}), at::zeros({16}), 1e-5, {at::full({16}, 0.5)}, int64_list({0}))
          .mixed[0];
  EXPECT_TRUE(mixed.isnan().all(1).equal(at::tensor({0, 0, 1, 1, 0, 0}).to(at::kBool)));
  EXPECT_TRUE(mixed.isnan().any(1).equal(mixed.isnan().all(1)));
}

TEST(NormShiftMix, RefusesWhatDoesNotFit) {
  const at::Tensor x = at::zeros({4, 32}), vector = at::zeros({32}), starts = int64_list({0, 2});
  const auto run = [&](const at::Tensor& input, const at::Tensor& weight,
                       const std::vector<at::Tensor>& mixes, const at::Tensor& begins,
                       const at::Tensor& previous = {}) {
    return norm_shift_mix(input, weight, vector, 1e-5, mixes, begins, previous);
  };
  EXPECT_NO_THROW(run(x, vector, {vector}, starts, at::zeros({2, 32})));
  EXPECT_THROW(run({}, vector, {vector}, starts), ShapeError);
  EXPECT_THROW(run(x.to(at::kDouble), vector, {vector}, starts), ShapeError);
  EXPECT_THROW(run(x.unsqueeze(0), vector, {vector}, starts), ShapeError);
  EXPECT_THROW(run(at::zeros({0, 32}), vector, {vector}, int64_list({0})), ShapeError);
  EXPECT_THROW(run(at::zeros({4, 40}), at::zeros({40}), {at::zeros({40})}, starts), ShapeError);
  EXPECT_THROW(run(x, at::zeros({31}), {vector}, starts), ShapeError);
  EXPECT_THROW(run(x, vector.to(at::kBFloat16), {vector}, starts), ShapeError);
  for (const std::size_t mix_count : {0, 2, 7})
    EXPECT_THROW(run(x, vector, std::vector<at::Tensor>(mix_count, vector), starts), ShapeError);
  EXPECT_THROW(run(x, vector, {at::zeros({16})}, starts), ShapeError);
  EXPECT_THROW(run(x, vector, {vector}, int64_list({0, 4})), ShapeError);
  EXPECT_THROW(run(x, vector, {vector}, starts, at::zeros({1, 32})), ShapeError);
  EXPECT_THROW(run(x, vector, {vector}, starts, at::zeros({2, 32}, at::kBFloat16)), ShapeError);
  EXPECT_THROW(norm_shift_mix(x, vector, vector, /*epsilon=*/0.0, {vector}, starts), ShapeError);
}

TEST(NormShiftMixBackward, RefusesWhatDoesNotFitItsForward) {
  const NormShiftMixArguments arguments{
      at::randn({4, 32}), at::ones({32}), at::zeros({32}), 1e-5, {at::rand({32})}, int64_list({0}), {}};
  at::Tensor kept;
  const at::Tensor d_mixed = at::ones_like(norm_shift_mix_forward(arguments, &kept).mixed);
  norm_shift_mix_backward(arguments, kept, d_mixed);
  for (const at::Tensor& wrong : {at::Tensor(), d_mixed[0], d_mixed.to(at::kBFloat16)})
    EXPECT_THROW(norm_shift_mix_backward(arguments, kept, wrong), ShapeError);
  for (const at::Tensor& wrong : {d_mixed, d_mixed[0].to(at::kBFloat16)})
    EXPECT_THROW(norm_shift_mix_backward(arguments, kept, d_mixed, wrong), ShapeError);
  for (const at::Tensor& wrong : {at::Tensor(), kept[0], kept.to(at::kDouble)})
    EXPECT_THROW(norm_shift_mix_backward(arguments, wrong, d_mixed), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
