// SPDX-License-Identifier: Apache-2.0
// Shapes, inputs and the comparison that every WKV-7 implementation is tested with.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "kernels/wkv7/wkv7_reference.h"
#include "tests/kernels/recurrence_cases.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct Wkv7Case {
  std::int64_t batch, tokens, heads, head_size;
  std::vector<std::int64_t> sequence_starts;
  bool carries_state;  // with an initial state, and a loss that reads the final one too
  kernels::DecayInput decay_input = kernels::DecayInput::kPreClamped;
  at::ScalarType type = at::kFloat;
  InputKind kind = InputKind::kRandom;
};

inline void PrintTo(const Wkv7Case& c, std::ostream* out) {
  *out << "B" << c.batch << "_T" << c.tokens << "_H" << c.heads << "_N" << c.head_size << "_S"
       << c.sequence_starts.size() << (c.carries_state ? "_state" : "")
       << (c.decay_input == kernels::DecayInput::kRaw ? "_raw" : "") << (c.type == at::kFloat ? "" : "_bf16")
       << suffix_of(c.kind);
}

inline std::string wkv7_case_name(const testing::TestParamInfo<Wkv7Case>& info) {
  return testing::PrintToString(info.param);
}

/// r, w, k, v, a, b and the initial state (undefined when the case carries none), as the model makes them:
/// removal keys of length 1, decays in (0.545, 1).
struct Wkv7Tensors {
  std::vector<at::Tensor> inputs;
  at::Tensor initial_state;
  at::Tensor gradient_y;
  at::Tensor gradient_final_state;
};

/// Logits of decays, from normal numbers: at the bound of 0.545, or 1e-4 from one.
inline at::Tensor wkv7_decay_logits(InputKind kind, const at::Tensor& normal) {
  if (kind == InputKind::kDecaysAtBound) return normal + 20;
  if (kind == InputKind::kDecaysNearOne) return normal - 8;
  return normal;
}

inline Wkv7Tensors random_wkv7_tensors(const Wkv7Case& c, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::kFloat); };
  const std::vector<std::int64_t> token_sizes = {c.batch, c.tokens, c.heads, c.head_size};
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  const std::vector<std::int64_t> state_sizes = {c.batch, sequences, c.heads, c.head_size, c.head_size};
  at::Tensor direction = normal(token_sizes);
  if (c.kind == InputKind::kKeysOfOneDirection) direction = direction.narrow(1, 0, 1) + 0.05 * direction;
  const at::Tensor key = direction / direction.norm(2, /*dim=*/-1, /*keepdim=*/true);
  const at::Tensor logit = wkv7_decay_logits(c.kind, normal(token_sizes));
  Wkv7Tensors tensors;
  tensors.inputs = {normal(token_sizes),
                    c.decay_input == kernels::DecayInput::kRaw ? logit : -at::softplus(-logit) - 0.5,
                    normal(token_sizes),
                    normal(token_sizes),
                    -key,
                    key * at::sigmoid(normal(token_sizes))};
  for (at::Tensor& input : tensors.inputs) input = input.to(c.type);
  if (c.carries_state) tensors.initial_state = normal(state_sizes);
  tensors.gradient_y = normal(token_sizes).to(c.type);
  tensors.gradient_final_state = normal(state_sizes);
  return tensors;
}

/// Those of tokens begin .. end, of one sequence.
inline Wkv7Tensors tokens_of(const Wkv7Tensors& all, std::int64_t begin, std::int64_t end) {
  const auto part = [&](const at::Tensor& x) { return x.slice(1, begin, end).contiguous(); };
  Wkv7Tensors piece = all;
  for (at::Tensor& input : piece.inputs) input = part(input);
  piece.gradient_y = part(all.gradient_y);
  return piece;
}

/// The order of what the comparisons go through; the last one is missing when there is no initial state.
inline constexpr std::array kWkv7ResultNames = {"y",  "final_state",    "dr", "dw", "dk", "dv", "da",
                                                "db", "d_initial_state"};

using Wkv7Function = std::function<decltype(kernels::wkv7)>;

/// `function`, with so many bytes for the states that it keeps.
inline Wkv7Function wkv7_keeping(const Wkv7Function& function, std::int64_t bytes) {
  return [=](const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
             const at::Tensor& a, const at::Tensor& b, const at::Tensor& starts, const at::Tensor& state,
             kernels::Wkv7Options options) {
    options.kept_states_bytes = bytes;
    return function(r, w, k, v, a, b, starts, state, options);
  };
}

/// Of the loss sum(y * gradient_y) [+ sum(final_state * gradient_final_state), when the case carries states].
inline std::vector<at::Tensor> wkv7_results(const Wkv7Function& function, const Wkv7Case& c,
                                            const Wkv7Tensors& tensors) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : tensors.inputs) leaves.push_back(input.clone().requires_grad_());
  if (c.carries_state) leaves.push_back(tensors.initial_state.clone().requires_grad_());
  const kernels::Wkv7Result result = function(
      leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], leaves[5], int64_list(c.sequence_starts),
      c.carries_state ? leaves[6] : at::Tensor(), {.decay_input = c.decay_input});
  std::vector<at::Tensor> outputs = {result.y}, gradients = {tensors.gradient_y.to(result.y.scalar_type())};
  if (c.carries_state) {
    outputs.push_back(result.final_state);
    gradients.push_back(tensors.gradient_final_state.to(result.final_state.scalar_type()));
  }
  std::vector<at::Tensor> all = {result.y, result.final_state};
  for (const at::Tensor& gradient : torch::autograd::grad(outputs, leaves, gradients))
    all.push_back(gradient);
  return all;
}

/// By the reference, of which nothing is rounded to bf16.
inline std::vector<at::Tensor> wkv7_expected(const Wkv7Case& c, Wkv7Tensors tensors) {
  for (at::Tensor& input : tensors.inputs) input = input.to(at::kFloat);
  return wkv7_results(kernels::wkv7_reference, c, tensors);
}

// fp32 sums of up to a few hundred terms, carried through as many steps: some 1e-6 is expected. Rounding to
// bf16 is off by 1.7e-3 (root mean square) of the value.
inline constexpr double kWkv7Tolerance = 2e-5, kWkv7Bf16Tolerance = 2.5e-3;

inline void expect_wkv7_results_near(const std::vector<at::Tensor>& actual,
                                     const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const bool is_bf16 = actual[i].scalar_type() == at::kBFloat16;
    EXPECT_LE(relative_rms(actual[i], expected[i]), is_bf16 ? kWkv7Bf16Tolerance : kWkv7Tolerance)
        << kWkv7ResultNames[i];
  }
}

}  // namespace vrwkv::test
