// SPDX-License-Identifier: Apache-2.0
// Shapes, inputs and the comparison that every WKV-7 implementation is tested with.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/wkv7/wkv7_reference.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

struct Wkv7Case {
  std::int64_t batch, tokens, heads, head_size;
  std::vector<std::int64_t> sequence_starts;
  bool carries_state;  // with an initial state, and a loss that reads the final one
};

inline void PrintTo(const Wkv7Case& c, std::ostream* out) {
  *out << "B" << c.batch << "_T" << c.tokens << "_H" << c.heads << "_N" << c.head_size << "_S"
       << c.sequence_starts.size() << (c.carries_state ? "_state" : "");
}

inline std::string wkv7_case_name(const testing::TestParamInfo<Wkv7Case>& info) {
  return testing::PrintToString(info.param);
}

/// r, w, k, v, a, b and the initial state (undefined when the case carries none), as the model makes them:
/// keys of length 1, decays in (0.545, 1).
struct Wkv7Tensors {
  std::vector<at::Tensor> inputs;
  at::Tensor initial_state;
  at::Tensor gradient_y;
  at::Tensor gradient_final_state;
};

inline Wkv7Tensors random_wkv7_tensors(const Wkv7Case& c, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::kFloat); };
  const std::vector<std::int64_t> token_sizes = {c.batch, c.tokens, c.heads, c.head_size};
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  const std::vector<std::int64_t> state_sizes = {c.batch, sequences, c.heads, c.head_size, c.head_size};
  const at::Tensor key = torch::nn::functional::normalize(
      normal(token_sizes), torch::nn::functional::NormalizeFuncOptions().dim(-1));
  Wkv7Tensors tensors;
  tensors.inputs = {normal(token_sizes),
                    -at::softplus(-normal(token_sizes)) - 0.5,
                    normal(token_sizes),
                    normal(token_sizes),
                    -key,
                    key * at::sigmoid(normal(token_sizes))};
  if (c.carries_state) tensors.initial_state = normal(state_sizes);
  tensors.gradient_y = normal(token_sizes);
  tensors.gradient_final_state = normal(state_sizes);
  return tensors;
}

}  // namespace vrwkv::test
