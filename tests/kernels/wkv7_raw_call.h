// SPDX-License-Identifier: Apache-2.0
// Calls a WKV-7 backend by its raw-pointer interface, and gives what wkv7_results() gives.
#pragma once

#include <functional>
#include <vector>

#include "kernels/wkv7/wkv7_backend.h"
#include "tests/kernels/wkv7_cases.h"

namespace vrwkv::test {

struct Wkv7Backend {
  std::function<void(const kernels::Wkv7Inputs&, const kernels::Wkv7Outputs&, const kernels::Wkv7Kept&)>
      forward;
  std::function<void(const kernels::Wkv7Inputs&, const kernels::Wkv7Kept&,
                     const kernels::Wkv7OutputGradients&, const kernels::Wkv7InputGradients&)>
      backward;
};

inline std::vector<at::Tensor> wkv7_raw_results(const Wkv7Backend& backend, const Wkv7Case& c,
                                                const Wkv7Tensors& tensors) {
  const auto sequences = static_cast<std::int64_t>(c.sequence_starts.size());
  std::vector<std::int64_t> token_bounds = c.sequence_starts;
  token_bounds.push_back(c.tokens);
  std::vector<std::int64_t> chunk_bounds = {0};
  for (std::int64_t s = 0; s < sequences; ++s) {
    const std::int64_t tokens = token_bounds[s + 1] - token_bounds[s];
    chunk_bounds.push_back(chunk_bounds[s] + (tokens + kernels::kWkv7Chunk - 1) / kernels::kWkv7Chunk);
  }
  const auto& x = tensors.inputs;
  const at::Tensor initial = c.carries_state ? tensors.initial_state : at::Tensor();
  const kernels::Wkv7Inputs inputs{
      .batch = c.batch,
      .tokens = c.tokens,
      .heads = c.heads,
      .head_size = c.head_size,
      .sequences = sequences,
      .chunks = chunk_bounds.back(),
      .token_bounds = token_bounds.data(),
      .chunk_bounds = chunk_bounds.data(),
      .r = x[0].const_data_ptr<float>(),
      .w = x[1].const_data_ptr<float>(),
      .k = x[2].const_data_ptr<float>(),
      .v = x[3].const_data_ptr<float>(),
      .a = x[4].const_data_ptr<float>(),
      .b = x[5].const_data_ptr<float>(),
      .initial_state = initial.defined() ? initial.const_data_ptr<float>() : nullptr,
      .decay_input = c.decay_input};
  const auto nan_like = [](const at::Tensor& tensor) { return at::full_like(tensor, NAN); };
  std::vector<at::Tensor> results = {nan_like(x[0]), nan_like(tensors.gradient_final_state)};
  for (const at::Tensor& input : x) results.push_back(nan_like(input));
  if (c.carries_state) results.push_back(nan_like(initial));
  const auto pointer = [&](std::size_t i) { return results[i].data_ptr<float>(); };
  const at::Tensor chunk_states =
      at::full({c.batch, chunk_bounds.back(), c.heads, c.head_size, c.head_size}, NAN);
  const at::Tensor state_a = nan_like(x[0]);
  const kernels::Wkv7Kept kept{.chunk_states = chunk_states.data_ptr<float>(),
                               .state_a = state_a.data_ptr<float>()};
  backend.forward(inputs, {.y = pointer(0), .final_state = pointer(1)}, kept);
  backend.backward(
      inputs, kept,
      {.y = tensors.gradient_y.const_data_ptr<float>(),
       .final_state = c.carries_state ? tensors.gradient_final_state.const_data_ptr<float>() : nullptr},
      {.r = pointer(2),
       .w = pointer(3),
       .k = pointer(4),
       .v = pointer(5),
       .a = pointer(6),
       .b = pointer(7),
       .initial_state = c.carries_state ? pointer(8) : nullptr});
  return results;
}

}  // namespace vrwkv::test
