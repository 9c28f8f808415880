// SPDX-License-Identifier: Apache-2.0
// Whole optimizer steps on many world sizes, the ranks being threads.
#include <gtest/gtest.h>

#include "tests/sharding/thread_collectives.h"
#include "tests/sharding/training_step.h"

namespace vrwkv::sharding {
namespace {

using test::StepResults;

std::vector<StepResults> results_of(int world_size, std::int64_t micro_batches,
                                    std::int64_t bucket_elements) {
  std::vector<StepResults> results(static_cast<std::size_t>(world_size));
  test::run_ranks(world_size, [&](Collectives& collectives) {
    results[static_cast<std::size_t>(collectives.rank())] =
        test::run_steps(collectives, micro_batches, bucket_elements, /*steps=*/2);
  });
  return results;
}

TEST(SimulatedRanks, EveryWorldSizeAndBucketGivesTheSameBits) {
  constexpr std::int64_t kMicroBatches = 7;
  const StepResults expected = results_of(1, kMicroBatches, std::int64_t{1} << 30).front();
  EXPECT_TRUE(std::isfinite(expected.norms.front()));
  // Up to one rank per micro-batch and one more; from five ranks on some own no shard.
  for (int world_size = 1; world_size <= 8; ++world_size) {
    for (const std::int64_t bucket_elements : {std::int64_t{1} << 30, std::int64_t{100'003}}) {
      for (const StepResults& actual : results_of(world_size, kMicroBatches, bucket_elements))
        test::expect_same_bits(
            actual, expected,
            std::to_string(world_size) + " ranks, buckets of " + std::to_string(bucket_elements));
    }
  }
}

TEST(SimulatedRanks, BytesFollowTheRoots) {
  // 8 micro-batches over 4 ranks: each rank has one root, and 3 of its 4 quarters are for others.
  const ShardLayout layout(4 * kShardBlock, 4);
  std::vector<std::int64_t> bytes(4);
  test::run_ranks(4, [&](Collectives& collectives) {
    GradientReducer reducer(layout, collectives, 8, 10'000);
    for (int leaf = 0; leaf < 2; ++leaf) reducer.finish_leaf();
    EXPECT_EQ(reducer.reduce().numel(), kShardBlock);
    bytes[static_cast<std::size_t>(collectives.rank())] = collectives.bytes_sent();
  });
  for (const std::int64_t sent : bytes) EXPECT_EQ(sent, 3 * kShardBlock * 4);
}

}  // namespace
}  // namespace vrwkv::sharding
