// SPDX-License-Identifier: Apache-2.0
// Calls the chunked WKV-7 by its raw-pointer interface, and gives what wkv7_results() gives.
#pragma once

#include <vector>

#include "kernels/wkv7/wkv7_chunked.h"
#include "tests/kernels/wkv7_cases.h"

namespace vrwkv::test {

/// The tensors as the kernels read them: activations, and the gradient of y, rounded to bf16.
inline Wkv7Tensors rounded_to_bf16(Wkv7Tensors tensors) {
  const auto round = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); };
  for (at::Tensor& input : tensors.inputs) input = round(input);
  tensors.gradient_y = round(tensors.gradient_y);
  return tensors;
}

struct Wkv7ChunkedOptions {
  std::int64_t interval = 32;
  bool keeps_states = true;  // otherwise there is no backward
};

/// y, the final states, and with a backward the gradients of r, w, k, v, a, b and, where the case carries
/// states, of the initial ones. Pointers that the case needs nothing of are null; fresh memory is NaN.
inline std::vector<at::Tensor> wkv7_chunked_results(const Wkv7Case& c, const Wkv7Tensors& tensors,
                                                    const Wkv7ChunkedOptions& options = {}) {
  using kernels::Bf16;
  std::vector<std::int64_t> bounds = c.sequence_starts;
  bounds.push_back(c.tokens);
  std::vector<at::Tensor> x;
  for (const at::Tensor& input : tensors.inputs) x.push_back(input.to(at::kBFloat16));
  const at::Tensor gradient_y = tensors.gradient_y.to(at::kBFloat16);
  const auto of = [](const at::Tensor& tensor) { return static_cast<Bf16*>(tensor.data_ptr()); };
  const kernels::Wkv7ChunkedInputs inputs{
      .batch = c.batch,
      .tokens = c.tokens,
      .heads = c.heads,
      .sequences = static_cast<std::int64_t>(c.sequence_starts.size()),
      .token_bounds = bounds.data(),
      .r = of(x[0]),
      .w = of(x[1]),
      .k = of(x[2]),
      .v = of(x[3]),
      .a = of(x[4]),
      .b = of(x[5]),
      .initial_state = c.carries_state ? tensors.initial_state.const_data_ptr<float>() : nullptr,
      .decay_input = c.decay_input};
  const auto nan_like = [](const at::Tensor& tensor) { return at::full_like(tensor, NAN); };
  const auto nan_bytes = [](std::int64_t bytes) { return at::full({(bytes + 3) / 4}, NAN, at::kFloat); };
  std::vector<at::Tensor> results = {nan_like(x[0]), nan_like(tensors.gradient_final_state)};
  const at::Tensor states = nan_bytes(kernels::wkv7_chunked_kept_bytes(inputs, options.interval));
  const kernels::Wkv7ChunkedKept kept{.states = options.keeps_states ? states.data_ptr() : nullptr,
                                      .interval = options.interval};
  kernels::cuda::wkv7_chunked_forward(
      inputs, {.y = of(results[0]), .final_state = results[1].data_ptr<float>()}, kept, /*stream=*/nullptr);
  if (!options.keeps_states) return results;
  for (const at::Tensor& input : x) results.push_back(nan_like(input));
  if (c.carries_state) results.push_back(nan_like(tensors.initial_state));
  const at::Tensor workspace = nan_bytes(kernels::wkv7_chunked_workspace_bytes(inputs, options.interval));
  kernels::cuda::wkv7_chunked_backward(
      inputs, kept,
      {.y = of(gradient_y),
       .final_state = c.carries_state ? tensors.gradient_final_state.const_data_ptr<float>() : nullptr},
      {.r = of(results[2]),
       .w = of(results[3]),
       .k = of(results[4]),
       .v = of(results[5]),
       .a = of(results[6]),
       .b = of(results[7]),
       .initial_state = c.carries_state ? results[8].data_ptr<float>() : nullptr},
      workspace.numel() > 0 ? workspace.data_ptr() : nullptr, /*stream=*/nullptr);
  return results;
}

/// By the order of kWkv7ResultNames. The operands of the products are bf16, and of the error nothing else is
/// seen: 3e-3 of random inputs' y and gradients, 5e-3 of those of a and b, which pass through two products
/// more, and half of it in states, which fp32 adds up.
inline void expect_wkv7_chunked_results_near(const std::vector<at::Tensor>& actual,
                                             const std::vector<at::Tensor>& expected) {
  static constexpr std::array kTolerances = {5e-3, 3e-3, 5e-3, 5e-3, 5e-3, 5e-3, 8e-3, 8e-3, 3e-3};
  ASSERT_LE(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LE(relative_rms(actual[i], expected[i]), kTolerances[i]) << kWkv7ResultNames[i];
  }
}

}  // namespace vrwkv::test
