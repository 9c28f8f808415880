// SPDX-License-Identifier: Apache-2.0
// The expected lists are those of CPython 3.11: random.seed(seed); random.shuffle(list).
#include "data/prepare/python_shuffle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace vrwkv::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::uint64_t> shuffled(std::size_t size, std::uint32_t seed) {
  std::vector<std::uint64_t> list(size);
  std::iota(list.begin(), list.end(), 0);
  python_shuffle(list, seed);
  return list;
}

TEST(PythonShuffle, IsPythons) {
  EXPECT_THAT(shuffled(10, 22), ElementsAre(5, 6, 9, 7, 1, 8, 4, 0, 3, 2));
  EXPECT_THAT(shuffled(10, 0), ElementsAre(7, 8, 1, 5, 3, 4, 2, 0, 9, 6));
  EXPECT_THAT(shuffled(10, 4294967295), ElementsAre(0, 7, 1, 5, 2, 6, 4, 8, 3, 9));
}

TEST(PythonShuffle, IsPythonsOnAListLikeThePublishedOne) {
  const std::vector<std::uint64_t> list = shuffled(665298, 22);
  EXPECT_EQ(list.front(), 113853U);
  EXPECT_EQ(list.back(), 147187U);
  std::uint64_t sum = 0;  // of place times number: another order would give another one
  for (std::size_t i = 0; i < list.size(); ++i) sum += i * list[i];
  EXPECT_EQ(sum, 0x1059a47dd17956fU);
}

TEST(PythonShuffle, LeavesShortListsAlone) {
  EXPECT_THAT(shuffled(0, 22), IsEmpty());
  EXPECT_THAT(shuffled(1, 22), ElementsAre(0));
}

}  // namespace
}  // namespace vrwkv::data
