// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/error.h"
#include "common/mpi/all_or_none.h"
#include "common/mpi/communicator.h"
#include "common/mpi/in_turn.h"

namespace vrwkv::mpi {
namespace {

TEST(Communicator, SumsGathersAndBroadcasts) {
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  const int n = world.size();
  EXPECT_EQ(world.sum(std::int64_t{world.rank()}, "sum"), n * (n - 1) / 2);
  EXPECT_EQ(world.max(double{1.5} * world.rank(), "max"), 1.5 * (n - 1));
  const auto texts = world.all_gather(std::string(static_cast<std::size_t>(world.rank()), 'x'), "texts");
  EXPECT_EQ(static_cast<int>(texts.size()), n);
  EXPECT_EQ(static_cast<int>(texts.back().size()), n - 1);
  const std::vector<double> mine(static_cast<std::size_t>(world.rank() + 1), world.rank());
  EXPECT_EQ(static_cast<int>(world.all_gather(mine, "values").size()), n * (n + 1) / 2);
  EXPECT_EQ(world.broadcast(world.rank() == 0 ? "from rank 0" : "", 0, "text"), "from rank 0");
}

TEST(Communicator, AllToAllMovesEachPartToItsOwner) {
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  const auto n = static_cast<std::size_t>(world.size());
  const std::vector<float> send(n, static_cast<float>(world.rank()));
  std::vector<float> receive(n, -1.0F);
  const std::vector<std::int64_t> ones(n, 1);
  world.all_to_all(send, ones, receive, ones, "parts");
  for (std::size_t r = 0; r < n; ++r) EXPECT_EQ(receive[r], static_cast<float>(r));
}

TEST(AllOrNone, OneRanksErrorReachesAllWithItsCode) {
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  const int failing = world.size() - 1;
  const auto work = [&] {
    if (world.rank() == failing) throw DataError("mix.json: broken");
    return 1;
  };
  try {
    all_or_none(world, "work", work);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataError& error) {
    EXPECT_EQ(world.rank(), failing);
    EXPECT_STREQ(error.what(), "mix.json: broken");
    EXPECT_TRUE(error.agreed() && error.shown());
  } catch (const PeerError& error) {
    EXPECT_NE(world.rank(), failing);
    EXPECT_EQ(error.rank(), failing);
    EXPECT_EQ(error.exit_code(), ExitCode::kDataRefused);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("mix.json: broken"));
    EXPECT_TRUE(error.agreed() && !error.shown());
  }
  EXPECT_EQ(all_or_none(world, "work", [] { return 7; }), 7);
}

TEST(AllOrNone, AnErrorOfAnotherLibraryBecomesOurs) {
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  try {
    all_or_none(world, "work", [] { throw std::out_of_range("index 7"); });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
    EXPECT_STREQ(error.what(), "index 7");
    EXPECT_EQ(error.shown(), world.rank() == 0) << "the same message is shown once";
  }
}

TEST(AllOrNone, TheErrorOfAShareIsLoggedWhereItIs) {
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  const int failing = world.size() - 1;
  const auto share = [&] {
    if (world.rank() == failing) throw IoError("a.jpg: cannot be opened");
  };
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(all_or_none_of_shares(world, "shares", share), Error);
  const std::string logged = ::testing::internal::GetCapturedStderr();
  const bool is_told = logged.find("share failed, the others finish theirs first: a.jpg: cannot be opened") !=
                       std::string::npos;
  EXPECT_EQ(is_told, world.rank() == failing && world.size() > 1) << logged;
}

/// Ranks of one machine: rank 0 is done before any other begins.
TEST(InTurn, TheFirstRankMakesWhatTheOthersFind) {
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  const auto file = std::filesystem::path(::testing::TempDir()) /
                    fmt::format("in_turn_{}", world.broadcast(std::to_string(::getpid()), 0, "process"));
  const bool was_there = in_turn(world, "file", [&] {
    const bool is_there = std::filesystem::exists(file);
    if (!is_there) std::ofstream(file) << "made";
    return is_there;
  });
  EXPECT_EQ(was_there, world.rank() != 0);
  EXPECT_THROW(in_turn(world, "file", []() -> int { throw DataError("broken"); }), Error);
  world.barrier("end of test");
  if (world.rank() == 0) std::filesystem::remove(file);
}

TEST(Communicator, AWaitEndsAtItsLimitAndNamesTheExchange) {
  auto world = Communicator::duplicate(MPI_COMM_WORLD);
  if (world.size() == 1) GTEST_SKIP() << "needs a rank that stays away";
  auto pair = world.split(0, world.rank());
  pair.set_limit(std::chrono::seconds(1));
  if (world.rank() == 0) {
    try {
      pair.barrier("the missing rank");
      ADD_FAILURE() << "nothing was thrown";
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("the missing rank"));
    }
  }
  world.barrier("end of test");
  if (world.rank() != 0) pair.barrier("late");  // completes the abandoned operation, so that MPI can end
  // Its last messages arrive before the communicator goes: Open MPI goes on with an operation whose
  // communicator was freed, and crashes.
  world.barrier("end of the late barrier");
}

TEST(Check, NamesTheCall) {
  try {
    check(MPI_ERR_COMM, "MPI_Something");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const CommError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("MPI_Something"));
  }
}

}  // namespace
}  // namespace vrwkv::mpi
