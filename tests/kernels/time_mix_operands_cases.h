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
  std::vector<at::Tensor> inputs;     // k, v, iclr, v_gate, v_first (undefined both in block 0), k_k, k_a
  std::vector<at::Tensor> gradients;  // of k', v', a, b, and of the v_first that is handed on
};

inline TimeMixOperandsTensors random_time_mix_operands_tensors(const TimeMixOperandsCase& c,
                                                               std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const std::int64_t channels = c.heads * c.head_size;
  const auto activation = [&] { return at::randn({c.tokens, channels}, generator, at::kFloat).to(c.type); };
  const auto vector = [&](double mean) {
    return at::randn({1, 1, channels}, generator, at::kFloat) * 0.3 + mean;
  };
  const auto in_later_blocks = [&] { return c.mixes_values ? activation() : at::Tensor(); };
  TimeMixOperandsTensors tensors;
  tensors.inputs = {activation(),      activation(), activation(), in_later_blocks(),
                    in_later_blocks(), vector(0.85), vector(1)};
  tensors.gradients = {activation(), activation(), activation(), activation(), in_later_blocks()};
  return tensors;
}

using TimeMixOperandsFunction = std::function<decltype(kernels::time_mix_operands)>;

/// k', v', a, b, then the gradients of the inputs, without those that are undefined.
inline std::vector<at::Tensor> time_mix_operands_results(const TimeMixOperandsFunction& function,
                                                         std::int64_t head_size,
                                                         const TimeMixOperandsTensors& tensors) {
  std::vector<at::Tensor> x, leaves;
  for (const at::Tensor& input : tensors.inputs) {
    x.push_back(input.defined() ? input.clone().requires_grad_() : at::Tensor());
    if (input.defined()) leaves.push_back(x.back());
  }
  const kernels::TimeMixOperands operands = function(x[0], x[1], x[2], x[3], x[4], x[5], x[6], head_size);
  std::vector<at::Tensor> results = {operands.k, operands.v, operands.a, operands.b};
  std::vector<at::Tensor> outputs = results, gradients;
  if (operands.v_first.defined()) outputs.push_back(operands.v_first);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    gradients.push_back(tensors.gradients[i].to(outputs[i].scalar_type()));
  for (const at::Tensor& gradient : torch::autograd::grad(outputs, leaves, gradients))
    results.push_back(gradient);
  return results;
}

inline void expect_time_mix_operands_near(const std::vector<at::Tensor>& actual,
                                          const std::vector<at::Tensor>& expected, bool mixes_values) {
  const std::vector<const char*> names =
      mixes_values
          ? std::vector{"k'", "v'", "a", "b", "dk", "dv", "diclr", "dv_gate", "dv_first", "dk_k", "dk_a"}
          : std::vector{"k'", "v'", "a", "b", "dk", "dv", "diclr", "dk_k", "dk_a"};
  ASSERT_EQ(actual.size(), names.size());
  ASSERT_EQ(expected.size(), names.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_LE(relative_rms(actual[i], expected[i]), rounding_tolerance(actual[i])) << names[i];
}

}  // namespace vrwkv::test
