// SPDX-License-Identifier: Apache-2.0
// Calls the chunked WKV-7 by its raw-pointer interface, and gives what wkv7_results() gives.
#pragma once

#include <type_traits>
#include <vector>

#include "tests/kernels/wkv7_raw_call.h"

namespace vrwkv::test {

/// Activations, and the gradients of what the call gives, in another type.
inline Wkv7Tensors converted(Wkv7Tensors tensors, at::ScalarType type) {
  for (at::Tensor& input : tensors.inputs) input = input.to(type);
  tensors.gradient_y = tensors.gradient_y.to(type);
  return tensors;
}

/// The tensors as the kernels read them, in fp32.
inline Wkv7Tensors rounded_to_bf16(const Wkv7Tensors& tensors) {
  return converted(converted(tensors, at::kBFloat16), at::kFloat);
}

struct Wkv7ChunkedOptions {
  std::int64_t interval = 32;
  bool keeps_states = true;  // otherwise there is no backward
};

struct Wkv7ChunkedBackend {
  template <class Inputs, class Outputs>
  void forward(const Inputs& in, const Outputs& out, kernels::Wkv7Kept kept) const {
    kept.state_a = nullptr;
    if (!options.keeps_states) kept.states = nullptr;
    if constexpr (kIsBf16<Inputs>) kernels::cuda::wkv7_chunked_forward(in, out, kept, /*stream=*/nullptr);
  }
  template <class Inputs, class Incoming, class Outgoing>
  void backward(const Inputs& in, kernels::Wkv7Kept kept, const Incoming& incoming,
                const Outgoing& outgoing) const {
    kept.state_a = nullptr;
    if constexpr (kIsBf16<Inputs>) {
      if (!options.keeps_states) return;
      const std::int64_t bytes = kernels::wkv7_chunked_workspace_bytes(in, kept.interval);
      const at::Tensor workspace = at::full({bytes}, 0xFF, at::kByte);
      kernels::cuda::wkv7_chunked_backward(in, kept, incoming, outgoing,
                                           bytes > 0 ? workspace.data_ptr() : nullptr, /*stream=*/nullptr);
    }
  }

  template <class Inputs>
  static constexpr bool kIsBf16 = std::is_same_v<Inputs, kernels::Wkv7Inputs<kernels::Bf16>>;
  Wkv7ChunkedOptions options;
};

/// What wkv7_raw_results() gives, with a backward; without, y and the final states.
inline std::vector<at::Tensor> wkv7_chunked_results(const Wkv7Case& c, const Wkv7Tensors& tensors,
                                                    const Wkv7ChunkedOptions& options = {}) {
  auto results =
      wkv7_raw_results(Wkv7ChunkedBackend{options}, c, converted(tensors, at::kBFloat16), options.interval);
  if (!options.keeps_states) results.resize(2);
  return results;
}

/// By the order of kWkv7ResultNames. The operands of the products are bf16, and of the error nothing else is
/// seen: 3e-3 of random inputs' y and gradients, 5e-3 of those of a and b, which pass through two products
/// more, and half of it in states, which fp32 adds up; most, up to 4.5e-3 of dw, where 2,048 tokens hardly
/// decay. The most is what docs/kernels.md says.
inline void expect_wkv7_chunked_results_near(const std::vector<at::Tensor>& actual,
                                             const std::vector<at::Tensor>& expected) {
  static constexpr std::array kTolerances = {5e-3, 3e-3, 5e-3, 5e-3, 5e-3, 5e-3, 8e-3, 8e-3, 3e-3};
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LE(relative_rms(actual[i], expected[i]), kTolerances[i]) << kWkv7ResultNames[i];
  }
}

}  // namespace vrwkv::test
