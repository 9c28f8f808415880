// SPDX-License-Identifier: Apache-2.0
#include "data/plan/substitution.h"

#include <gtest/gtest.h>

#include <iterator>
#include <set>
#include <vector>

namespace vrwkv::data {
namespace {

TEST(Substitution, TheFirstAttemptIsThePlaceItself) {
  for (const std::int64_t length : {1, 2, 24, 665298})
    for (const std::int64_t position : {0, 1, 23, 1'000'000'000})
      EXPECT_EQ(Substitution(length).position(position, 0), position);
}

TEST(Substitution, AttemptsStayInTheEpochAndDiffer) {
  for (const std::int64_t length : {1, 2, 3, 4, 6, 24, 97, 1000, 665298}) {
    const Substitution substitution(length);
    for (const std::int64_t place : {std::int64_t{0}, length / 2, length - 1}) {
      const std::int64_t epoch = 3;
      std::set<std::int64_t> seen;
      for (std::int64_t attempt = 0; attempt < substitution.attempts(); ++attempt) {
        const std::int64_t position = substitution.position(epoch * length + place, attempt);
        EXPECT_EQ(position / length, epoch);
        seen.insert(position);
      }
      EXPECT_EQ(static_cast<std::int64_t>(seen.size()), substitution.attempts()) << length;
    }
  }
}

TEST(Substitution, NeighboursAreReplacedByNeighbours) {
  const Substitution substitution(665298);
  EXPECT_EQ(substitution.position(101, 1), substitution.position(100, 1) + 1);
  EXPECT_GT(substitution.position(100, 1), 100'000) << "samples of the same step would come up twice in it";
}

TEST(Substitution, AsksOneAfterTheOtherUntilOneTakesThePlace) {
  const Substitution substitution(24);
  const auto record_at = [](std::int64_t position) { return 100 + position; };
  std::vector<std::int64_t> asked;
  const auto found = substitution.first(5, record_at, [&](const Candidate& candidate) {
    EXPECT_EQ(candidate.attempt, std::ssize(asked));
    asked.push_back(candidate.record);
    return asked.size() == 3;
  });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->attempt, 2);
  EXPECT_EQ(found->record, asked.back());
  for (std::int64_t attempt = 0; attempt < 3; ++attempt)
    EXPECT_EQ(asked[static_cast<std::size_t>(attempt)], 100 + substitution.position(5, attempt));
  EXPECT_FALSE(substitution.first(5, record_at, [](const Candidate&) { return false; }).has_value());
}

// Resumed runs, and ledgers, rest on it.
TEST(Substitution, IsFrozen) {
  EXPECT_EQ(Substitution(24).position(5, 1), 22);
  EXPECT_EQ(Substitution(665298).position(665297, 2), 156979);
}

}  // namespace
}  // namespace vrwkv::data
