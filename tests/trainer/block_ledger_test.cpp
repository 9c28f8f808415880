// SPDX-License-Identifier: Apache-2.0
// What one block moves and computes, counted call by call and held to the table in docs/kernels.md.
#include <ATen/ATen.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/wkv7/wkv7.h"
#include "tests/support/traffic_ledger.h"
#include "trainer/model/rwkv.h"

namespace vrwkv::model {
namespace {

using test::Traffic;
using test::TrafficLedger;

constexpr std::int64_t kTokens = 256;
constexpr std::int64_t kChannels = 768;

LanguageModelConfig config() {
  return with_default_ranks({.n_layer = 2, .n_embd = kChannels, .head_size = 64, .vocabulary_size = 300});
}

/// What the table allows, in accesses: elements of a (T, C) tensor read or written.
constexpr double kTimeMix = 58.7, kChannelMix = 27.1;
/// In block 0, whose values have no gate.
constexpr double kFirstTimeMix = 49.7;

using Tensors = std::vector<at::Tensor>;
/// Outputs of x and v_first.
using Part = std::function<Tensors(const at::Tensor& x, const at::Tensor& v_first)>;

/// Any block but the first, unless said otherwise. Matrices are of the type that is computed in, as in
/// training.
class BlockLedger : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  BlockLedger() {
    for (const auto& [name, tensor] : parameters_) {
      const at::Tensor parameter = tensor;
      if (is_matrix(name, tensor)) parameter.set_data(tensor.detach().to(GetParam()));
      parameter.requires_grad_(true).set_grad_dtype(at::kFloat);
    }
  }

  static bool is_matrix(const std::string& name, const at::Tensor& tensor) {
    return tensor.dim() == 2 && !name.ends_with(".r_k");
  }

  static at::Tensor activation(std::int64_t tokens) {
    return at::randn({1, tokens, kChannels}).to(GetParam()).requires_grad_(true);
  }

  struct Counted {
    Traffic elementwise, recurrence, products;
  };

  /// Forward and backward of `part`, by its inputs and the parameters whose names begin with `prefix`.
  Counted count(const std::string& prefix, std::int64_t tokens, const Part& part) {
    const at::Tensor x = activation(tokens), v_first = activation(tokens);
    Tensors inputs = {x, v_first};
    for (const auto& parameter : parameters_)
      if (parameter.name.starts_with(prefix)) inputs.push_back(parameter.tensor);
    const at::Tensor gradient = activation(tokens).detach();
    const TrafficLedger ledger;
    const Tensors outputs = part(x, v_first);
    torch::autograd::grad(outputs, inputs, Tensors(outputs.size(), gradient), std::nullopt,
                          /*create_graph=*/false, /*allow_unused=*/true);
    for (const auto& [name, traffic] : ledger.by_operator())
      RecordProperty(name, fmt::format("{} calls, {} bytes", traffic.calls, traffic.bytes));
    return {ledger.elementwise(), ledger.recurrence(), ledger.matrix_products()};
  }

  /// The accesses of one token more. What a call does with parameters alone, once, is none of them.
  double accesses(const std::string& prefix, Traffic Counted::*kind, const Part& part) {
    const std::int64_t more = kTokens / 2;
    const std::int64_t bytes =
        (count(prefix, kTokens, part).*kind).bytes - (count(prefix, kTokens - more, part).*kind).bytes;
    const double accesses =
        static_cast<double>(bytes) / static_cast<double>(more * kChannels * c10::elementSize(GetParam()));
    RecordProperty("accesses", fmt::format("{:.2f}", accesses));
    return accesses;
  }

  /// What a time mix hands on, by which gradients come back: x, and v_first for the blocks above.
  Tensors run_time_mix(const at::Tensor& x, const at::Tensor& v_first) const {
    const TimeMix::Result result = time_mix_(x, norm_, v_first, starts_, nullptr);
    return {result.x, result.v_first};
  }

  Tensors run_first_time_mix(const at::Tensor& x, const at::Tensor& /*v_first*/) const {
    const TimeMix::Result result = first_time_mix_(x, norm_, {}, starts_, nullptr);
    return {result.x, result.v_first};
  }

  Tensors run_channel_mix(const at::Tensor& x, const at::Tensor& /*v_first*/) const {
    return {channel_mix_(x, norm_, starts_, nullptr)};
  }

  /// As trainer/block_schedule.cpp calls it: nothing is added between blocks.
  Tensors run_block(const at::Tensor& x, const at::Tensor& v_first) const {
    const RwkvBlock::Result result = block_(x, v_first, starts_, nullptr);
    return {result.x, result.v_first};
  }

  /// Of operands that nothing else reads.
  Tensors run_recurrence(const at::Tensor& x, const at::Tensor& /*v_first*/) const {
    Tensors in = {x};
    for (int i = 1; i < 6; ++i) in.push_back(activation(x.size(1)).detach());
    for (at::Tensor& tensor : in) tensor = tensor.unflatten(2, {-1, 64});
    const kernels::Wkv7Options options{.decay_input = kernels::DecayInput::kRaw};
    const at::Tensor y = kernels::wkv7(in[0], in[1], in[2], in[3], in[4], in[5], starts_, {}, options).y;
    return {y.view_as(x)};
  }

  std::vector<NamedTensor> parameters_;
  const ParameterFactory factory_{1, [](const std::string&) { return true; }, parameters_};
  const LayerNorm norm_{factory_, "ln", kChannels, kRwkvEpsilon};
  const TimeMix time_mix_{config(), 1, factory_.below("att.")};
  const TimeMix first_time_mix_{config(), 0, factory_.below("first.")};
  const ChannelMix channel_mix_{config(), 1, factory_.below("ffn.")};
  const RwkvBlock block_{config(), 1, factory_.below("block.")};
  const at::Tensor starts_ = at::tensor({0L, 50L}, at::kLong);
};

TEST_P(BlockLedger, TimeMixMovesNoMoreThanTheTable) {
  const Part run = [this](const auto&... in) { return run_time_mix(in...); };
  EXPECT_LE(accesses("att.", &Counted::elementwise, run), kTimeMix);
}

TEST_P(BlockLedger, FirstTimeMixMovesNoMoreThanTheTable) {
  const Part run = [this](const auto&... in) { return run_first_time_mix(in...); };
  EXPECT_LE(accesses("first.", &Counted::elementwise, run), kFirstTimeMix);
}

TEST_P(BlockLedger, TimeMixAddsNothingToTheRecurrence) {
  const Part run = [this](const auto&... in) { return run_time_mix(in...); };
  const Part alone = [this](const auto&... in) { return run_recurrence(in...); };
  EXPECT_EQ(accesses("att.", &Counted::recurrence, run), accesses("none", &Counted::recurrence, alone));
}

TEST_P(BlockLedger, ChannelMixMovesNoMoreThanTheTable) {
  const Part run = [this](const auto&... in) { return run_channel_mix(in...); };
  EXPECT_LE(accesses("ffn.", &Counted::elementwise, run), kChannelMix);
}

TEST_P(BlockLedger, BlockMovesWhatItsPartsDo) {
  const Part run = [this](const auto&... in) { return run_block(in...); };
  EXPECT_LE(accesses("block.", &Counted::elementwise, run), kTimeMix + kChannelMix);
}

TEST_P(BlockLedger, ComputesTheProductsOfTheFormulaAndNoOther) {
  const Part run = [this](const auto&... in) { return run_block(in...); };
  const Traffic products = count("block.", kTokens, run).products;
  std::int64_t weights = 0;
  for (const auto& [name, tensor] : parameters_)
    if (name.starts_with("block.") && is_matrix(name, tensor)) weights += tensor.numel();
  // Forward, and in backward the gradients of input and weight: two operations each. The biases of the four
  // low-rank maps ride in eight more rows, forward and in the gradient.
  const std::int64_t biases = 4 * 8 * kChannels;
  EXPECT_EQ(products.flops, kTokens * (6 * weights + 4 * biases));
}

INSTANTIATE_TEST_SUITE_P(Types, BlockLedger, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) { return type.param == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace vrwkv::model
