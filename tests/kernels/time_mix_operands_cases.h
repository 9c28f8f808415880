// SPDX-License-Identifier: Apache-2.0
// Shapes, inputs and the comparison that every implementation of time_mix_operands() is tested with.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/time_mix_operands/time_mix_operands_reference.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct TimeMixOperandsCase {
  std::int64_t tokens, heads, head_size;
  bool mixes_values;  // not in block 0
  at::ScalarType type;
};

inline void PrintTo(const TimeMixOperandsCase& c, std::ostream* out) {
  *out << "T" << c.tokens << "_H" << c.heads << "_N" << c.head_size << (c.mixes_values ? "" : "_block0")
       << (c.type == at::kFloat ? "_fp32" : "_bf16");
}

inline std::string time_mix_operands_case_name(const testing::TestParamInfo<TimeMixOperandsCase>& info) {
  return testing::PrintToString(info.param);
}

struct TimeMixOperandsTensors {
  /// r, k, v, iclr, v_gate, v_first (undefined both in block 0), k_k, k_a, r_k.
  std::vector<at::Tensor> inputs;
  /// Of all that the operator gives: r, k', v', a, b, bonus, v' again, v_first.
  std::vector<at::Tensor> gradients;
};

inline TimeMixOperandsTensors random_time_mix_operands_tensors(const TimeMixOperandsCase& c,
                                                               std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const std::int64_t channels = c.heads * c.head_size;
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::kFloat); };
  const auto activation = [&] { return normal({c.tokens, channels}).to(c.type); };
  const auto vector = [&](double mean) { return normal({1, 1, channels}) * 0.3 + mean; };
  const auto in_later_blocks = [&] { return c.mixes_values ? activation() : at::Tensor(); };
  TimeMixOperandsTensors tensors;
  tensors.inputs = {activation(), activation(),      activation(),
                    activation(), in_later_blocks(), in_later_blocks(),
                    vector(0.85), vector(1),         normal({c.heads, c.head_size}) * 0.2};
  for (int i = 0; i < 5; ++i) tensors.gradients.push_back(activation());
  tensors.gradients.insert(tensors.gradients.end(),
                           {normal({c.tokens, c.heads}), activation(), activation()});
  return tensors;
}

using TimeMixOperandsFunction = std::function<decltype(kernels::time_mix_operands)>;

inline std::vector<at::Tensor> outputs_of(const kernels::TimeMixOperands& operands) {
  return {operands.r, operands.k,     operands.v,       operands.a,
          operands.b, operands.bonus, operands.bonus_v, operands.v_first};
}

/// Calls `function` with `inputs`, in their order.
inline kernels::TimeMixOperands time_mix_operands_of(const TimeMixOperandsFunction& function,
                                                     const std::vector<at::Tensor>& x) {
  return function(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]);
}

/// k', v', a, b, the bonus, then the gradients of the inputs, without those that are undefined.
inline std::vector<at::Tensor> time_mix_operands_results(const TimeMixOperandsFunction& function,
                                                         const TimeMixOperandsTensors& tensors) {
  std::vector<at::Tensor> x, leaves;
  for (const at::Tensor& input : tensors.inputs) {
    x.push_back(input.defined() ? input.clone().requires_grad_() : at::Tensor());
    if (input.defined()) leaves.push_back(x.back());
  }
  const std::vector<at::Tensor> outputs = outputs_of(time_mix_operands_of(function, x));
  std::vector<at::Tensor> results(outputs.begin() + 1, outputs.begin() + 6), gradients;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    gradients.push_back(tensors.gradients[i].to(outputs[i].scalar_type()));
  for (const at::Tensor& gradient : torch::autograd::grad(outputs, leaves, gradients))
    results.push_back(gradient);
  return results;
}

/// What is a sum over keys that are rounded to bf16 is off by 1e-3 of them where they are not; but one in
/// some 1e4 lies so near the middle of two numbers that fp32 and fp64 round it to different ones.
inline constexpr double kSumOfBf16KeysTolerance = 1e-4;

inline void expect_time_mix_operands_near(const std::vector<at::Tensor>& actual,
                                          const std::vector<at::Tensor>& expected, bool mixes_values) {
  std::vector<std::string> names = {"k'", "v'", "a", "b", "bonus", "dr", "dk", "dv", "diclr"};
  if (mixes_values) names.insert(names.end(), {"dv_gate", "dv_first"});
  names.insert(names.end(), {"dk_k", "dk_a", "dr_k"});
  ASSERT_EQ(actual.size(), names.size());
  ASSERT_EQ(expected.size(), names.size());
  const bool is_bf16 = actual[0].scalar_type() == at::kBFloat16;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const bool sums_keys = names[i] == "bonus" || names[i] == "dr_k";
    EXPECT_LE(relative_rms(actual[i], expected[i]),
              is_bf16 && sums_keys ? kSumOfBf16KeysTolerance : rounding_tolerance(actual[i]))
        << names[i];
  }
}

}  // namespace vrwkv::test
