// SPDX-License-Identifier: Apache-2.0
// Shapes, inputs and the comparison that every norm_shift_mix is tested with.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/activations.h"
#include "kernels/norm_shift_mix/norm_shift_mix_backend.h"
#include "kernels/norm_shift_mix/norm_shift_mix_reference.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct NormShiftMixCase {
  std::int64_t tokens, channels, mix_count;
  std::vector<std::int64_t> sequence_starts;
  bool has_previous;
  at::ScalarType type;
};

inline void PrintTo(const NormShiftMixCase& c, std::ostream* out) {
  *out << "T" << c.tokens << "_C" << c.channels << "_M" << c.mix_count << "_S" << c.sequence_starts.size()
       << (c.has_previous ? "_previous_" : "_") << c.type;
}

inline std::string norm_shift_mix_case_name(const testing::TestParamInfo<NormShiftMixCase>& info) {
  return testing::PrintToString(info.param);
}

struct NormShiftMixTensors {
  at::Tensor x, weight, bias, previous, gradient;
  at::Tensor more_x;  // the gradient of x that is handed on
  std::vector<at::Tensor> mixes;
};

inline constexpr double kNormShiftMixEpsilon = 1e-5;

inline NormShiftMixTensors random_norm_shift_mix(const NormShiftMixCase& c, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::kFloat); };
  NormShiftMixTensors tensors;
  // A mean of its own and another size a token, so that both matter.
  tensors.x =
      ((normal({c.tokens, c.channels}) + normal({c.tokens, 1})) * normal({c.tokens, 1}).exp()).to(c.type);
  tensors.weight = normal({c.channels}) + 1;
  tensors.bias = normal({c.channels});
  for (std::int64_t m = 0; m < c.mix_count; ++m) tensors.mixes.push_back(normal({c.channels}));
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  if (c.has_previous) tensors.previous = normal({sequences, c.channels}).to(c.type);
  tensors.gradient = normal({c.mix_count, c.tokens, c.channels}).to(c.type);
  tensors.more_x = normal({c.tokens, c.channels}).to(c.type);
  return tensors;
}

/// mixed, last, the gradients of x, weight, bias and (M, C) the mixes, and the copy of x.
using NormShiftMixResults = std::vector<at::Tensor>;
inline constexpr const char* kNormShiftMixResultNames[] = {"mixed", "last",   "dx", "dweight",
                                                           "dbias", "dmixes", "x"};

/// @param type  of the leaves; fp64 for the reference, whose gradients are then not rounded.
inline NormShiftMixResults norm_shift_mix_results(
    const std::function<decltype(kernels::norm_shift_mix)>& function, const NormShiftMixCase& c,
    const NormShiftMixTensors& tensors, std::optional<at::ScalarType> type = std::nullopt) {
  const auto typed = [&](const at::Tensor& tensor) { return type ? tensor.to(*type) : tensor; };
  std::vector<at::Tensor> leaves = {tensors.x, tensors.weight, tensors.bias};
  leaves.insert(leaves.end(), tensors.mixes.begin(), tensors.mixes.end());
  for (at::Tensor& leaf : leaves) leaf = typed(leaf).clone().requires_grad_();
  const std::vector<at::Tensor> mixes(leaves.begin() + 3, leaves.end());
  const kernels::NormShiftMix result = function(leaves[0], leaves[1], leaves[2], kNormShiftMixEpsilon, mixes,
                                                int64_list(c.sequence_starts), tensors.previous);
  const std::vector<at::Tensor> gradients = torch::autograd::grad(
      {result.mixed, result.x}, leaves, {typed(tensors.gradient), typed(tensors.more_x)});
  return {result.mixed, result.last,
          gradients[0], gradients[1],
          gradients[2], at::stack(std::vector<at::Tensor>(gradients.begin() + 3, gradients.end())),
          result.x};
}

inline NormShiftMixResults expected_norm_shift_mix(const NormShiftMixCase& c,
                                                   const NormShiftMixTensors& tensors) {
  return norm_shift_mix_results(kernels::norm_shift_mix_reference, c, tensors, at::kDouble);
}

/// fp32 arithmetic errs by some 2^-24 a term; a result in bf16 is rounded by up to 2^-8 of itself, and many
/// by 1.7e-3 (root mean square).
inline void expect_norm_shift_mix_near(const NormShiftMixResults& actual,
                                       const NormShiftMixResults& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double bf16_tolerance = actual[i].numel() < 64 ? 0x1p-8 : 2.5e-3;
    const double tolerance = actual[i].scalar_type() == at::kBFloat16 ? bf16_tolerance : 2e-6;
    EXPECT_LE(relative_rms(actual[i], expected[i]), tolerance) << kNormShiftMixResultNames[i];
  }
}

/// Calls forward(inputs, kept, outputs) and backward(inputs, kept, gradients) of a backend on memory full of
/// NaN.
template <class Element, class Forward, class Backward>
NormShiftMixResults raw_norm_shift_mix(const NormShiftMixCase& c, const NormShiftMixTensors& tensors,
                                       std::int64_t range_tokens, const Forward& forward,
                                       const Backward& backward) {
  using kernels::elements;
  const auto fresh = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::full(sizes, NAN, at::TensorOptions(type));
  };
  const at::Tensor starts = int64_list(c.sequence_starts), kept = fresh({2, c.tokens}, at::kFloat);
  kernels::NormShiftMixInputs<Element> in{.tokens = c.tokens,
                                          .channels = c.channels,
                                          .sequences = starts.numel(),
                                          .range_tokens = range_tokens,
                                          .mix_count = static_cast<int>(c.mix_count),
                                          .epsilon = static_cast<float>(kNormShiftMixEpsilon),
                                          .x = elements<const Element>(tensors.x),
                                          .weight = elements<const float>(tensors.weight),
                                          .bias = elements<const float>(tensors.bias),
                                          .mixes = {},
                                          .sequence_starts = elements<const std::int64_t>(starts),
                                          .previous = elements<const Element>(tensors.previous)};
  for (std::size_t m = 0; m < tensors.mixes.size(); ++m)
    in.mixes[m] = elements<const float>(tensors.mixes[m]);
  const kernels::NormShiftMixKept moments{.mean = elements<float>(kept),
                                          .scale = elements<float>(kept) + c.tokens};
  const at::Tensor mixed = fresh({c.mix_count, c.tokens, c.channels}, c.type);
  const at::Tensor last = fresh({starts.numel(), c.channels}, c.type);
  const at::Tensor x = fresh({c.tokens, c.channels}, c.type);
  forward(in, moments,
          kernels::NormShiftMixOutputs<Element>{
              .mixed = elements<Element>(mixed), .last = elements<Element>(last), .x = elements<Element>(x)});
  const at::Tensor d_x = fresh({c.tokens, c.channels}, c.type);
  const at::Tensor range_sums = fresh({in.ranges(), c.mix_count + 2, c.channels}, at::kFloat);
  backward(in, moments,
           kernels::NormShiftMixGradients<Element>{.mixed = elements<const Element>(tensors.gradient),
                                                   .more_x = elements<const Element>(tensors.more_x),
                                                   .x = elements<Element>(d_x),
                                                   .range_sums = elements<float>(range_sums)});
  const at::Tensor sums = range_sums.sum(0);
  return {mixed, last, d_x, sums[c.mix_count], sums[c.mix_count + 1], sums.narrow(0, 0, c.mix_count), x};
}

}  // namespace vrwkv::test
