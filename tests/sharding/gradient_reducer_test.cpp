// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_reducer.h"

#include <gtest/gtest.h>

#include "common/error.h"
#include "sharding/mpi_collectives.h"
#include "tests/sharding/training_step.h"

namespace vrwkv::sharding {
namespace {

/// The whole sum over all leaves on one process, without a reducer.
at::Tensor sum_of_all_leaves(std::int64_t numel, std::int64_t leaves) {
  std::vector<at::Tensor> values;
  std::vector<TreeNode> nodes;
  for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
    values.push_back(test::scattered_values({numel}, static_cast<std::uint64_t>(leaf)));
    nodes.push_back({leaf, 1});
  }
  for (const auto& [left, right] : merge_plan(leaves, nodes)) values[left] += values[right];
  return values.front();
}

at::Tensor reduce_leaves(GradientReducer& reducer, std::int64_t numel) {
  for (std::int64_t leaf = reducer.leaves().begin; leaf < reducer.leaves().end; ++leaf) {
    EXPECT_EQ(reducer.next_leaf(), leaf);
    reducer.leaf() += test::scattered_values({numel}, static_cast<std::uint64_t>(leaf));
    reducer.finish_leaf();
  }
  return reducer.reduce();
}

TEST(GradientReducer, ReturnsThisRanksShardOfTheSameBits) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  const ShardLayout layout(3 * kShardBlock - 5, world.size());
  const std::int64_t numel = layout.padded_numel();
  for (const std::int64_t micro_batches : {1, 4, 6, 8, 13}) {
    const at::Tensor expected =
        sum_of_all_leaves(numel, micro_batches)
            .slice(0, layout.shard_begin(world.rank()), layout.shard_end(world.rank()));
    for (const std::int64_t bucket_elements : {std::int64_t{7'777}, kShardBlock, std::int64_t{1} << 40}) {
      GradientReducer reducer(layout, collectives, micro_batches, bucket_elements);
      for (int repeat = 0; repeat < 2; ++repeat)
        EXPECT_TRUE(reduce_leaves(reducer, numel).view(at::kInt).equal(expected.view(at::kInt)))
            << micro_batches << " micro-batches, buckets of " << bucket_elements << ", pass " << repeat;
      EXPECT_LE(reducer.buffers(), std::max<std::int64_t>(1, most_partial_sums(reducer.leaves())));
    }
  }
}

TEST(GradientReducer, WorksWithoutAnyParameter) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  const ShardLayout layout(0, world.size());
  GradientReducer reducer(layout, collectives, 8);
  EXPECT_EQ(reduce_leaves(reducer, 0).numel(), 0);
  EXPECT_EQ(global_grad_norm(at::empty({0}), layout, collectives), 0.0);
}

TEST(GradientReducer, RefusesAStepThatIsNotComplete) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  GradientReducer reducer(ShardLayout(10, world.size()), collectives, world.size());
  EXPECT_THROW(reducer.reduce(), ShapeError);
  reducer.finish_leaf();
  EXPECT_THROW(reducer.leaf(), ShapeError);
  EXPECT_THROW(GradientReducer(ShardLayout(10, world.size() + 1), collectives, 4), ShapeError);
  EXPECT_THROW(GradientReducer(ShardLayout(10, world.size()), collectives, 0), ShapeError);
}

TEST(GradNorm, IsTheNormOfTheWholeGradientAndNotFiniteWhenOneElementIsNot) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  const ShardLayout layout(3 * kShardBlock, world.size());
  at::Tensor whole = test::scattered_values({layout.padded_numel()}, 3);
  const at::Tensor shard = whole.slice(0, layout.shard_begin(world.rank()), layout.shard_end(world.rank()));
  const double expected = whole.to(at::kDouble).norm().item<double>();
  EXPECT_NEAR(global_grad_norm(shard, layout, collectives), expected, 1e-12 * expected);
  whole[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(std::isfinite(global_grad_norm(shard, layout, collectives)));
  EXPECT_THROW(global_grad_norm(at::zeros({layout.padded_numel() + 1}), layout, collectives), ShapeError);
}

TEST(LeafSums, AddAlongTheTree) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  const std::vector<double> all{1e17, 1.0, -1e17, 1.0, 3.0};
  const LeafRange mine = leaf_range(5, world.rank(), world.size());
  const double sum = sum_over_leaves(
      std::span(all).subspan(static_cast<std::size_t>(mine.begin), static_cast<std::size_t>(mine.size())), 5,
      collectives);
  EXPECT_EQ(sum, ((1e17 + 1.0) + (-1e17 + 1.0)) + 3.0);
  EXPECT_THROW(sum_over_leaves({}, 5, collectives), ShapeError);
}

TEST(TrainingStep, HasTheBitsOfOneRank) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  const auto alone = world.split(world.rank(), 0);
  MpiCollectives together(world);
  MpiCollectives single(alone);
  test::expect_same_bits(test::run_steps(together, 8, 50'000, 3),
                         test::run_steps(single, 8, std::int64_t{1} << 30, 3),
                         "ranks together against one rank");
}

}  // namespace
}  // namespace vrwkv::sharding
