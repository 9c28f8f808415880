// SPDX-License-Identifier: Apache-2.0
#include "sharding/collectives.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "sharding/mpi_collectives.h"

namespace vrwkv::sharding {
namespace {

TEST(MpiCollectives, AllToAllMovesUnequalPartsAndCountsWhatLeaves) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  // Rank a sends b + 1 elements of value a to rank b.
  std::vector<std::int64_t> send_counts;
  for (int rank = 0; rank < world.size(); ++rank) send_counts.push_back(rank + 1);
  const std::vector<std::int64_t> receive_counts(send_counts.size(), world.rank() + 1);
  const at::Tensor send =
      at::full({world.size() * (world.size() + 1) / 2}, static_cast<double>(world.rank()));
  const at::Tensor receive = at::full({world.size() * (world.rank() + 1)}, -1.0);
  collectives.all_to_all(send, send_counts, receive, receive_counts, "test");
  EXPECT_TRUE(receive.equal(at::arange(world.size()).to(at::kFloat).repeat_interleave(world.rank() + 1)));
  EXPECT_EQ(collectives.bytes_sent(), 4 * (send.numel() - (world.rank() + 1)));
}

TEST(MpiCollectives, GathersInOnePieceOrRankByRank) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  std::vector<std::int64_t> counts;
  std::vector<at::Tensor> parts;
  for (int rank = 0; rank < world.size(); ++rank) {
    counts.push_back(3 * rank);  // rank 0 has nothing
    parts.push_back(at::full({3 * rank}, rank + 0.5));
  }
  const at::Tensor expected = at::cat(parts);
  for (const std::int64_t most_elements : {Collectives::kMostElements, std::int64_t{1}}) {
    MpiCollectives collectives(world, most_elements);
    at::Tensor data = at::zeros_like(expected);
    std::int64_t offset = 0;
    for (int rank = 0; rank < world.rank(); ++rank) offset += counts[static_cast<std::size_t>(rank)];
    data.narrow(0, offset, 3 * world.rank()).fill_(world.rank() + 0.5);
    collectives.all_gather_in_place(data, counts, "test");
    EXPECT_TRUE(data.equal(expected)) << "at most " << most_elements;
    EXPECT_EQ(collectives.bytes_sent(), 4 * 3 * world.rank() * (world.size() - 1));
  }
}

TEST(MpiCollectives, RefusesCountsThatDoNotFit) {
  const auto world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  MpiCollectives collectives(world);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(world.size()), 2);
  EXPECT_THROW(collectives.all_gather_in_place(at::zeros({2 * world.size() + 1}), counts, "test"),
               ShapeError);
  EXPECT_THROW(collectives.all_gather_in_place(at::zeros({2 * world.size()}, at::kDouble), counts, "test"),
               ShapeError);
  counts.push_back(0);
  EXPECT_THROW(collectives.all_gather_in_place(at::zeros({2 * world.size()}), counts, "test"), ShapeError);
}

}  // namespace
}  // namespace vrwkv::sharding
