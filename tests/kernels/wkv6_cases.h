// SPDX-License-Identifier: Apache-2.0
// Shapes, inputs and the comparison that every WKV-6 implementation is tested with.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "kernels/wkv6/wkv6_reference.h"
#include "tests/kernels/recurrence_cases.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct Wkv6Case {
  std::int64_t batch, tokens, heads, head_size;
  std::vector<std::int64_t> sequence_starts;
  bool carries_state;  // with an initial state, and a loss that reads the final one
  at::ScalarType type = at::kFloat;
  InputKind kind = InputKind::kRandom;
};

inline void PrintTo(const Wkv6Case& c, std::ostream* out) {
  *out << "B" << c.batch << "_T" << c.tokens << "_H" << c.heads << "_N" << c.head_size << "_S"
       << c.sequence_starts.size() << (c.carries_state ? "_state" : "")
       << (c.type == at::kFloat ? "_fp32" : "_bf16") << suffix_of(c.kind);
}

inline std::string wkv6_case_name(const testing::TestParamInfo<Wkv6Case>& info) {
  return testing::PrintToString(info.param);
}

struct Wkv6Tensors {
  std::vector<at::Tensor> inputs;  // r, k, v, w, u
  at::Tensor initial_state;        // undefined when the case carries none
  at::Tensor gradient_y;
  at::Tensor gradient_final_state;
};

/// Raw decays w, from normal numbers; exp(-exp(w)) is from all but 1 to 0, which is the only bound there is.
inline at::Tensor wkv6_raw_decays(InputKind kind, const at::Tensor& normal) {
  if (kind == InputKind::kDecaysAtBound) return normal * 3 + 2;
  if (kind == InputKind::kDecaysNearOne) return normal * 0.5 - 8;
  return normal * 1.5 - 2;
}

inline Wkv6Tensors random_wkv6_tensors(const Wkv6Case& c, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::kFloat); };
  const auto activation = [&] { return normal({c.batch, c.tokens, c.heads, c.head_size}).to(c.type); };
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  const std::vector<std::int64_t> state_sizes = {c.batch, sequences, c.heads, c.head_size, c.head_size};
  Wkv6Tensors tensors;
  tensors.inputs = {activation(), activation(), activation(), wkv6_raw_decays(c.kind, activation()),
                    normal({c.heads, c.head_size})};
  at::Tensor& k = tensors.inputs[1];
  if (c.kind == InputKind::kKeysOfOneDirection) k = k.narrow(1, 0, 1) + 0.05 * k;
  if (c.carries_state) tensors.initial_state = normal(state_sizes);
  tensors.gradient_y = activation();
  tensors.gradient_final_state = normal(state_sizes);
  return tensors;
}

/// Those of tokens begin .. end, of one sequence.
inline Wkv6Tensors tokens_of(const Wkv6Tensors& all, std::int64_t begin, std::int64_t end) {
  const auto part = [&](const at::Tensor& x) { return x.slice(1, begin, end).contiguous(); };
  Wkv6Tensors piece = all;
  for (std::size_t i = 0; i < 4; ++i) piece.inputs[i] = part(all.inputs[i]);
  piece.gradient_y = part(all.gradient_y);
  return piece;
}

/// The order of what the comparisons go through; the last one is missing when there is no initial state.
inline constexpr std::array kWkv6ResultNames = {"y",  "final_state", "dr", "dk",
                                                "dv", "dw",          "du", "d_initial_state"};

using Wkv6Function = std::function<decltype(kernels::wkv6)>;

/// Of the loss sum(y * gradient_y) [+ sum(final_state * gradient_final_state), when the case carries states].
inline std::vector<at::Tensor> wkv6_results(const Wkv6Function& function, const Wkv6Case& c,
                                            const Wkv6Tensors& tensors) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : tensors.inputs) leaves.push_back(input.clone().requires_grad_());
  if (c.carries_state) leaves.push_back(tensors.initial_state.clone().requires_grad_());
  const kernels::Wkv6Result result =
      function(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], int64_list(c.sequence_starts),
               c.carries_state ? leaves[5] : at::Tensor());
  std::vector<at::Tensor> all = {result.y, result.final_state};
  std::vector<at::Tensor> outputs = {result.y}, gradients = {tensors.gradient_y.to(result.y.scalar_type())};
  if (c.carries_state) {
    outputs.push_back(result.final_state);
    gradients.push_back(tensors.gradient_final_state.to(result.final_state.scalar_type()));
  }
  for (const at::Tensor& gradient : torch::autograd::grad(outputs, leaves, gradients))
    all.push_back(gradient);
  return all;
}

/// By the reference, of which nothing is rounded to bf16.
inline std::vector<at::Tensor> wkv6_expected(const Wkv6Case& c, Wkv6Tensors tensors) {
  for (at::Tensor& input : tensors.inputs) input = input.to(at::kFloat);
  return wkv6_results(kernels::wkv6_reference, c, tensors);
}

inline void expect_wkv6_results_near(const std::vector<at::Tensor>& actual,
                                     const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    // fp32 sums of up to a few hundred terms, carried through as many steps: some 1e-6 is expected. bf16
    // results are rounded once more, by up to 2^-9.
    const double tolerance = actual[i].scalar_type() == at::kBFloat16 ? 2.5e-3 : 2e-5;
    EXPECT_LE(relative_rms(actual[i], expected[i]), tolerance) << kWkv6ResultNames[i];
  }
}

/// Of the chunked kernels. Operands are rounded to bf16 (2^-9 each) and sums are fp32. All but the states are
/// rounded once more, or, du, made of two operands.
inline void expect_wkv6_chunked_results_near(const std::vector<at::Tensor>& actual,
                                             const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const bool is_state = actual[i].dim() == 5;
    EXPECT_LE(relative_rms(actual[i], expected[i]), is_state ? 3e-3 : 5e-3) << kWkv6ResultNames[i];
  }
}

}  // namespace vrwkv::test
