// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>
#include <vector>

namespace vrwkv::bench {

using Operator = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

/// The outputs and the gradients of all inputs, of leaves that this makes.
inline std::vector<at::Tensor> forward_and_backward(const Operator& run,
                                                    const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().requires_grad_());
  std::vector<at::Tensor> results = run(leaves), gradients;
  // Any gradient does, and the outputs themselves cost nothing to make.
  for (const at::Tensor& output : results) gradients.push_back(output.detach());
  for (const at::Tensor& gradient : torch::autograd::grad(results, leaves, gradients))
    results.push_back(gradient);
  return results;
}

/// Times `run`, forward and backward. First makes sure that it computes what `rival` does.
/// @param minimal_bytes  of memory that forward and backward must read and write: GB_per_s is by these, for
///                       any implementation, so that rates compare as speeds do.
inline void time_forward_and_backward(benchmark::State& state, const Operator& run, const Operator& rival,
                                      const std::vector<at::Tensor>& inputs, double minimal_bytes) {
  const auto results = forward_and_backward(run, inputs), expected = forward_and_backward(rival, inputs);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const at::Tensor wanted = expected[i].to(at::kDouble);
    // Eager operations round every step to bf16.
    const double bound = 0.05 * wanted.norm().item<double>();
    if (!((results[i].to(at::kDouble) - wanted).norm().item<double>() <= bound)) {
      state.SkipWithError(("result " + std::to_string(i) + " differs from the rival's").c_str());
      return;
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(forward_and_backward(run, inputs));
  state.counters["GB_per_s"] =
      benchmark::Counter(minimal_bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

}  // namespace vrwkv::bench
