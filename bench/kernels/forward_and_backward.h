// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/kernels/bench_device.h"

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

/// The outputs end to end, whether they were one tensor or several, then the gradients.
inline std::vector<at::Tensor> comparable(const std::vector<at::Tensor>& results, std::size_t inputs) {
  const auto first_gradient = results.end() - static_cast<std::ptrdiff_t>(inputs);
  std::vector<at::Tensor> outputs, all;
  for (auto output = results.begin(); output != first_gradient; ++output)
    outputs.push_back(output->flatten());
  all.push_back(at::cat(outputs));
  all.insert(all.end(), first_gradient, results.end());
  return all;
}

/// Times `run`, forward and backward. First makes sure that in fp32 it computes what `rival` does; in bf16,
/// eager sums over thousands of tokens are off by up to half.
/// @param minimal_bytes  of memory that forward and backward must read and write: GB_per_s is by these, for
///                       any implementation, so that rates compare as speeds do.
inline void time_forward_and_backward(benchmark::State& state, const Operator& run, const Operator& rival,
                                      const std::vector<at::Tensor>& inputs, double minimal_bytes) {
  std::vector<at::Tensor> wide, placed;
  for (const at::Tensor& input : inputs) {
    placed.push_back(input.to(device()));
    wide.push_back(placed.back().to(at::kFloat));
  }
  const auto results = comparable(forward_and_backward(run, wide), inputs.size());
  const auto expected = comparable(forward_and_backward(rival, wide), inputs.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const at::Tensor wanted = expected[i].to(at::kDouble);
    if (!((results[i].to(at::kDouble) - wanted).norm().item<double>() <=
          1e-4 * wanted.norm().item<double>())) {
      state.SkipWithError(("result " + std::to_string(i) + " differs from the rival's").c_str());
      return;
    }
  }
  time_calls(state, [&] { return forward_and_backward(run, placed); });
  state.counters["GB_per_s"] =
      benchmark::Counter(minimal_bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = at::get_num_threads();
}

}  // namespace vrwkv::bench
