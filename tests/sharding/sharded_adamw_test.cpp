// SPDX-License-Identifier: Apache-2.0
#include "sharding/sharded_adamw.h"

#include <gtest/gtest.h>

#include "common/error.h"
#include "sharding/mpi_collectives.h"
#include "tests/sharding/training_step.h"

namespace vrwkv::sharding {
namespace {

/// AdamW of one tensor in fp64 (Loshchilov and Hutter 2019, algorithm 2, with bias correction).
struct ReferenceAdamw {
  at::Tensor value, m, v;

  void update(const at::Tensor& gradient, const kernels::AdamwStep& s, bool decays) {
    m = s.beta1 * m + (1 - s.beta1) * gradient;
    v = s.beta2 * v + (1 - s.beta2) * gradient * gradient;
    const at::Tensor m_hat = m / (1 - std::pow(s.beta1, static_cast<double>(s.step)));
    const at::Tensor v_hat = v / (1 - std::pow(s.beta2, static_cast<double>(s.step)));
    value = value -
            s.learning_rate * (m_hat / (v_hat.sqrt() + s.epsilon) + (decays ? s.weight_decay : 0.0) * value);
  }
};

TEST(ShardedAdamw, MatchesTheFormulaOnEveryRankAndDecaysMatricesOnly) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  FlatParameters parameters(test::example_parameters());
  const ShardLayout layout(parameters.numel(), world.size());
  ShardedAdamw optimizer(parameters, layout, collectives);
  std::vector<ReferenceAdamw> references;
  for (const auto& [name, tensor] : parameters.tensors()) {
    const at::Tensor value = tensor.to(at::kDouble).clone();
    references.push_back({value, at::zeros_like(value), at::zeros_like(value)});
  }
  constexpr double kScale = 0.25;
  for (std::int64_t step = 1; step <= 4; ++step) {
    const at::Tensor gradient = parameters.new_gradient();
    const auto views = parameters.views(gradient);
    for (std::size_t i = 0; i < views.size(); ++i) {
      views[i].copy_(test::micro_batch_gradient(step, 0, i, parameters.entries()[i].shape));
      references[i].update(views[i].to(at::kDouble) * kScale, test::example_update(step),
                           parameters.entries()[i].decays);
    }
    optimizer.step(gradient.slice(0, layout.shard_begin(world.rank()), layout.shard_end(world.rank())),
                   kScale, test::example_update(step));
  }
  // A few fp32 roundings a step, four steps, values up to 128.
  for (std::size_t i = 0; i < references.size(); ++i)
    EXPECT_TRUE(at::allclose(parameters.tensors()[i].tensor.to(at::kDouble), references[i].value, 2e-6, 2e-6))
        << parameters.entries()[i].name;
}

TEST(ShardedAdamw, PaddingStaysZero) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  const auto results = test::run_steps(collectives, 4, 1 << 20, 2);
  const FlatParameters parameters(test::example_parameters());
  at::Tensor padding = results.parameters.clone();
  for (const auto& view : parameters.views(padding)) view.zero_();
  EXPECT_EQ(padding.view(at::kInt).count_nonzero().item<std::int64_t>(), 0);
}

// The masters are those of a run in fp32, to the bit; the others get theirs rounded, in half the bytes.
TEST(ShardedAdamw, RoundsWhatIsComputedWithInBf16OnEveryRank) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives wide_messages(world), messages(world);
  FlatParameters wide(test::example_parameters());
  FlatParameters mixed(test::example_parameters(),
                       [](const NamedTensor& parameter) { return parameter.tensor.numel() > 100; });
  const ShardLayout layout(wide.numel(), world.size());
  ShardedAdamw wide_optimizer(wide, layout, wide_messages), optimizer(mixed, layout, messages);
  const auto expect_same_parameters = [&] {
    for (std::size_t i = 0; i < wide.entries().size(); ++i) {
      const at::Tensor& master = wide.tensors()[i].tensor;
      EXPECT_TRUE(
          mixed.tensors()[i].tensor.equal(mixed.entries()[i].in_bf16 ? master.to(at::kBFloat16) : master))
          << i;
    }
    EXPECT_TRUE(optimizer.master().equal(wide_optimizer.master()));
  };
  expect_same_parameters();
  for (std::int64_t step = 1; step <= 3; ++step) {
    const at::Tensor gradient =
        test::scattered_values({layout.padded_numel()}, static_cast<std::uint64_t>(step))
            .slice(0, layout.shard_begin(world.rank()), layout.shard_end(world.rank()));
    wide_optimizer.step(gradient, 1.0, test::example_update(step));
    optimizer.step(gradient, 1.0, test::example_update(step));
    expect_same_parameters();
  }
  const std::int64_t vectors = 77 + 5 + 9;  // fp32, sent by whoever owns them
  EXPECT_LE(messages.bytes_sent(), wide_messages.bytes_sent() / 2 + 3 * vectors * 4 * (world.size() - 1));
  for (ShardedAdamw* loaded : {&wide_optimizer, &optimizer}) {
    loaded->master().mul_(1.1);
    loaded->gather_parameters();
  }
  expect_same_parameters();
}

TEST(ShardedAdamw, RefusesForeignLayoutsAndGradients) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  FlatParameters parameters(test::example_parameters());
  EXPECT_THROW(ShardedAdamw(parameters, ShardLayout(parameters.numel() + 1, world.size()), collectives),
               ShapeError);
  EXPECT_THROW(ShardedAdamw(parameters, ShardLayout(parameters.numel(), world.size() + 1), collectives),
               ShapeError);
  ShardedAdamw optimizer(parameters, ShardLayout(parameters.numel(), world.size()), collectives);
  EXPECT_THROW(optimizer.step(at::zeros({3}), 1.0, test::example_update(1)), ShapeError);
}

}  // namespace
}  // namespace vrwkv::sharding
