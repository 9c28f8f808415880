// SPDX-License-Identifier: Apache-2.0
// What one block moves and computes, counted call by call and held to the table in docs/kernels.md.
#include <ATen/ATen.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "tests/support/traffic_ledger.h"
#include "trainer/model/rwkv.h"

namespace vrwkv::model {
namespace {

using test::Traffic;
using test::TrafficLedger;

constexpr std::int64_t kTokens = 1024;
constexpr std::int64_t kChannels = 768;

LanguageModelConfig config() {
  return with_default_ranks({.n_layer = 2, .n_embd = kChannels, .head_size = 64, .vocabulary_size = 300});
}

/// What the table allows, in accesses: elements of a (T, C) tensor read or written.
struct Allowed {
  at::ScalarType type;
  double time_mix, channel_mix;
};

/// Any block but the first, whose value has no gate. Matrices are of the type that is computed in, as in
/// training.
class BlockLedger : public ::testing::TestWithParam<Allowed> {
 protected:
  BlockLedger() {
    for (const auto& [name, tensor] : parameters_) {
      const at::Tensor parameter = tensor;
      if (is_matrix(name, tensor)) parameter.set_data(tensor.detach().to(GetParam().type));
      parameter.requires_grad_(true).set_grad_dtype(at::kFloat);
    }
  }

  static bool is_matrix(const std::string& name, const at::Tensor& tensor) {
    return tensor.dim() == 2 && !name.ends_with("att.r_k");
  }

  static at::Tensor activation() {
    return at::randn({1, kTokens, kChannels}).to(GetParam().type).requires_grad_(true);
  }

  /// Forward and backward of `part`, by its inputs and the parameters whose names begin with `prefix`.
  Traffic elementwise_of(const std::string& prefix, const std::vector<at::Tensor>& activations,
                         const std::function<std::vector<at::Tensor>()>& part) {
    std::vector<at::Tensor> inputs = activations;
    for (const auto& parameter : parameters_)
      if (parameter.name.starts_with(prefix)) inputs.push_back(parameter.tensor);
    const at::Tensor gradient = activation().detach();
    const TrafficLedger ledger;
    const std::vector<at::Tensor> outputs = part();
    torch::autograd::grad(outputs, inputs, std::vector<at::Tensor>(outputs.size(), gradient));
    for (const auto& [name, traffic] : ledger.by_operator())
      RecordProperty(name, fmt::format("{} calls, {:.2f} accesses", traffic.calls, accesses(traffic)));
    products_ = ledger.matrix_products();
    RecordProperty("accesses", fmt::format("{:.2f}", accesses(ledger.elementwise())));
    return ledger.elementwise();
  }

  static double accesses(const Traffic& traffic) {
    const auto elements = static_cast<double>(kTokens * kChannels);
    return static_cast<double>(traffic.bytes) /
           (static_cast<double>(c10::elementSize(GetParam().type)) * elements);
  }

  /// What a time mix hands on, by which gradients come back: x, and v_first for the blocks above.
  std::vector<at::Tensor> run_time_mix(const at::Tensor& x, const at::Tensor& v_first) const {
    const TimeMix::Result result = time_mix_(x, norm_, v_first, starts_, nullptr);
    return {result.x, result.v_first};
  }

  std::vector<NamedTensor> parameters_;
  const ParameterFactory factory_{1, [](const std::string&) { return true; }, parameters_};
  const LayerNorm norm_{factory_, "ln", kChannels, kRwkvEpsilon};
  const TimeMix time_mix_{config(), 1, factory_.below("att.")};
  const ChannelMix channel_mix_{config(), 1, factory_.below("ffn.")};
  const RwkvBlock block_{config(), 1, factory_.below("block.")};
  const at::Tensor starts_ = at::tensor({0L, 50L}, at::kLong);
  Traffic products_;
};

TEST_P(BlockLedger, TimeMixMovesNoMoreThanTheTable) {
  const at::Tensor x = activation(), v_first = activation();
  const Traffic moved = elementwise_of("att.", {x, v_first}, [&] { return run_time_mix(x, v_first); });
  EXPECT_LE(accesses(moved), GetParam().time_mix);
}

TEST_P(BlockLedger, ChannelMixMovesNoMoreThanTheTable) {
  const at::Tensor x = activation();
  const Traffic moved = elementwise_of(
      "ffn.", {x}, [&] { return std::vector<at::Tensor>{channel_mix_(x, norm_, starts_, nullptr)}; });
  EXPECT_LE(accesses(moved), GetParam().channel_mix);
}

/// As trainer/block_schedule.cpp calls it: nothing is added between blocks.
TEST_P(BlockLedger, BlockMovesWhatItsPartsDo) {
  const at::Tensor x = activation(), v_first = activation();
  const Traffic moved = elementwise_of("block.", {x, v_first}, [&] {
    const RwkvBlock::Result result = block_(x, v_first, starts_, nullptr);
    return std::vector<at::Tensor>{result.x, result.v_first};
  });
  EXPECT_LE(accesses(moved), GetParam().time_mix + GetParam().channel_mix);
}

TEST_P(BlockLedger, ComputesTheProductsOfTheFormulaAndNoOther) {
  const at::Tensor x = activation(), v_first = activation();
  elementwise_of("block.", {x, v_first},
                 [&] { return std::vector<at::Tensor>{block_(x, v_first, starts_, nullptr).x}; });
  std::int64_t weights = 0;
  for (const auto& [name, tensor] : parameters_)
    if (name.starts_with("block.") && is_matrix(name, tensor)) weights += tensor.numel();
  // Forward, and in backward the gradients of input and weight: two operations each. The biases of the four
  // low-rank maps ride in eight more rows, forward and in the gradient.
  const std::int64_t biases = 4 * 8 * kChannels;
  EXPECT_EQ(products_.flops, kTokens * (6 * weights + 4 * biases));
}

INSTANTIATE_TEST_SUITE_P(Types, BlockLedger,
                         ::testing::Values(Allowed{at::kFloat, 61.5, 29.1},
                                           Allowed{at::kBFloat16, 61.5, 29.1}),
                         [](const auto& type) { return type.param.type == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace vrwkv::model
