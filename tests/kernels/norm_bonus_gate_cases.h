// SPDX-License-Identifier: Apache-2.0
// Shapes, inputs and the comparison that every implementation of norm_bonus_gate() is tested with.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "kernels/norm_bonus_gate/norm_bonus_gate_reference.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct NormBonusGateCase {
  std::int64_t tokens, heads, head_size;
  at::ScalarType type;
};

inline void PrintTo(const NormBonusGateCase& c, std::ostream* out) {
  *out << "T" << c.tokens << "_H" << c.heads << "_N" << c.head_size
       << (c.type == at::kFloat ? "_fp32" : "_bf16");
}

inline std::string norm_bonus_gate_case_name(const testing::TestParamInfo<NormBonusGateCase>& info) {
  return testing::PrintToString(info.param);
}

/// The model's.
inline constexpr double kGroupEpsilon = 64e-5;

struct NormBonusGateTensors {
  std::vector<at::Tensor> inputs;  // y, bonus, v, g, weight, bias
  at::Tensor gradient;
};

inline NormBonusGateTensors random_norm_bonus_gate_tensors(const NormBonusGateCase& c, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const std::int64_t channels = c.heads * c.head_size;
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::kFloat); };
  const auto activation = [&] { return normal({c.tokens, channels}).to(c.type); };
  NormBonusGateTensors tensors;
  // An output whose mean and size the norm has to take away.
  const at::Tensor y = (normal({c.tokens, channels}) * 3 + 2).to(c.type);
  tensors.inputs = {
      y, normal({c.tokens, c.heads}), activation(), activation(), normal({channels}), normal({channels})};
  tensors.gradient = activation();
  return tensors;
}

using NormBonusGateFunction = std::function<decltype(kernels::norm_bonus_gate)>;

inline constexpr std::array kNormBonusGateResultNames = {"out", "dy",      "dbonus", "dv",
                                                         "dg",  "dweight", "dbias"};

/// The output, then the gradients of the inputs.
inline std::vector<at::Tensor> norm_bonus_gate_results(const NormBonusGateFunction& function,
                                                       const NormBonusGateTensors& tensors) {
  std::vector<at::Tensor> x;
  for (const at::Tensor& input : tensors.inputs) x.push_back(input.clone().requires_grad_());
  const at::Tensor out = function(x[0], x[1], x[2], x[3], x[4], x[5], kGroupEpsilon);
  std::vector<at::Tensor> results = {out};
  for (const at::Tensor& gradient : torch::autograd::grad({out}, x, {tensors.gradient.to(out.scalar_type())}))
    results.push_back(gradient);
  return results;
}

inline void expect_norm_bonus_gate_near(const std::vector<at::Tensor>& actual,
                                        const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(actual.size(), kNormBonusGateResultNames.size());
  ASSERT_EQ(expected.size(), kNormBonusGateResultNames.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_LE(relative_rms(actual[i], expected[i]), rounding_tolerance(actual[i]))
        << kNormBonusGateResultNames[i];
}

}  // namespace vrwkv::test
