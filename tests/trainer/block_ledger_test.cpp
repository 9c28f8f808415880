// SPDX-License-Identifier: Apache-2.0
// What one block moves and computes, counted call by call and held to the table in docs/kernels.md.
#include <ATen/ATen.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "tests/support/traffic_ledger.h"
#include "trainer/model/channel_mix.h"
#include "trainer/model/time_mix.h"

namespace vrwkv::model {
namespace {

using test::Traffic;
using test::TrafficLedger;

constexpr std::int64_t kTokens = 1024;
constexpr std::int64_t kChannels = 768;

LanguageModelConfig config() {
  return with_default_ranks({.n_layer = 2, .n_embd = kChannels, .head_size = 64, .vocabulary_size = 300});
}

/// Any block but the first, whose value has no gate.
class BlockLedger : public ::testing::Test {
 protected:
  BlockLedger() {
    for (const auto& parameter : parameters_) at::Tensor(parameter.tensor).requires_grad_(true);
  }

  static at::Tensor activation() { return at::randn({1, kTokens, kChannels}).requires_grad_(true); }

  /// Forward and backward of `part`, by its inputs and the parameters whose names begin with `prefix`.
  Traffic elementwise_of(const std::string& prefix, const std::vector<at::Tensor>& activations,
                         const std::function<at::Tensor()>& part) {
    std::vector<at::Tensor> inputs = activations;
    for (const auto& parameter : parameters_)
      if (parameter.name.starts_with(prefix)) inputs.push_back(parameter.tensor);
    const at::Tensor gradient = at::randn({1, kTokens, kChannels});
    const TrafficLedger ledger;
    torch::autograd::grad({part()}, inputs, {gradient});
    for (const auto& [name, traffic] : ledger.by_operator())
      RecordProperty(name, fmt::format("{} calls, {:.2f} accesses", traffic.calls, accesses(traffic)));
    products_ = ledger.matrix_products();
    return ledger.elementwise();
  }

  /// Tensors of (T, C) read or written.
  static double accesses(const Traffic& traffic) {
    return static_cast<double>(traffic.bytes) / static_cast<double>(sizeof(float) * kTokens * kChannels);
  }

  std::vector<NamedTensor> parameters_;
  const ParameterFactory factory_{1, [](const std::string&) { return true; }, parameters_};
  const LayerNorm norm_{factory_, "ln", kChannels, kRwkvEpsilon};
  const TimeMix time_mix_{config(), 1, factory_.below("att.")};
  const ChannelMix channel_mix_{config(), 1, factory_.below("ffn.")};
  const at::Tensor starts_ = at::tensor({0L, 50L}, at::kLong);
  Traffic products_;
};

TEST_F(BlockLedger, TimeMixMovesNoMoreThanTheTable) {
  const at::Tensor x = activation();
  const at::Tensor v_first = activation();
  const Traffic moved =
      elementwise_of("att.", {x, v_first}, [&] { return time_mix_(x, norm_, v_first, starts_, nullptr).y; });
  RecordProperty("accesses", fmt::format("{:.2f}", accesses(moved)));
  EXPECT_LE(accesses(moved), 67.0);
}

TEST_F(BlockLedger, ChannelMixMovesNoMoreThanTheTable) {
  const at::Tensor x = activation();
  const Traffic moved = elementwise_of("ffn.", {x}, [&] { return channel_mix_(x, norm_, starts_, nullptr); });
  RecordProperty("accesses", fmt::format("{:.2f}", accesses(moved)));
  EXPECT_LE(accesses(moved), 25.1);
}

TEST_F(BlockLedger, ComputesTheProductsOfTheFormulaAndNoOther) {
  const at::Tensor x = activation();
  const at::Tensor v_first = activation();
  elementwise_of("att.", {x, v_first}, [&] { return time_mix_(x, norm_, v_first, starts_, nullptr).y; });
  std::int64_t weights = 0;
  for (const auto& [name, tensor] : parameters_)
    if (name.starts_with("att.") && tensor.dim() == 2 && name != "att.r_k") weights += tensor.numel();
  // Forward, and in backward the gradients of input and weight: two operations each. The biases of the four
  // low-rank maps ride in eight more rows, forward and in the gradient.
  const std::int64_t biases = 4 * 8 * kChannels;
  EXPECT_EQ(products_.flops, kTokens * (6 * weights + 4 * biases));
}

}  // namespace
}  // namespace vrwkv::model
