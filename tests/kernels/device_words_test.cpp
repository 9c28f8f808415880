// SPDX-License-Identifier: Apache-2.0
// The words of kernels/device/device.h as the emulation has them, against plain index arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/device/device.h"

namespace vrwkv::kernels::device {
namespace {

std::vector<Bf16> random_bf16(int count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Bf16> values(count);
  for (Bf16& value : values) value = to_bf16(normal(random));
  return values;
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  constexpr float kStep = 0x1p-7F;  // of bf16 at 1
  for (int i = 0; i < 100; ++i) {
    const float below = 1.0F + kStep * static_cast<float>(i);
    EXPECT_EQ(to_float(to_bf16(below)), below);
    EXPECT_EQ(to_float(to_bf16(below + 0.49F * kStep)), below);
    EXPECT_EQ(to_float(to_bf16(below + 0.51F * kStep)), below + kStep);
    EXPECT_EQ(to_float(to_bf16(-below - 0.5F * kStep)), i % 2 == 0 ? -below : -below - kStep);
  }
}

TEST(Bf16, KeepsWhatIsNotANumber) {
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::numeric_limits<float>::signaling_NaN()))));
  EXPECT_EQ(to_float(to_bf16(-std::numeric_limits<float>::infinity())),
            -std::numeric_limits<float>::infinity());
  EXPECT_EQ(to_float(to_bf16(std::numeric_limits<float>::max())), std::numeric_limits<float>::infinity());
}

TEST(Bf16, ServesTemplatesOnTheTypeOfActivations) {
  EXPECT_EQ(to_float(from_float<float>(1.001F)), 1.001F);
  EXPECT_EQ(to_float(from_float<Bf16>(1.001F)), 1.0F);
}

/// d += A B where A (16, 16) and B (16, 8) are row-major in global memory; fragments by the tables of the
/// header.
void multiply_by_tables(const Bf16* a, const Bf16* b, float* d) {
  const int g = thread_index() / 4, c = thread_index() % 4 * 2;
  const auto pair = [](Bf16 low, Bf16 high) {
    return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
  };
  const auto of_a = [&](int row, int column) { return pair(a[row * 16 + column], a[row * 16 + column + 1]); };
  const auto of_b = [&](int row) { return pair(b[row * 8 + g], b[(row + 1) * 8 + g]); };
  const std::uint32_t fragment[4] = {of_a(g, c), of_a(g + 8, c), of_a(g, c + 8), of_a(g + 8, c + 8)};
  float sums[4] = {d[g * 8 + c], d[g * 8 + c + 1], d[(g + 8) * 8 + c], d[(g + 8) * 8 + c + 1]};
  mma_16x8x16(sums, fragment, of_b(c), of_b(c + 8));
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + c + i % 2] = sums[i];
}

TEST(MatrixWords, MultiplyAsTheFragmentTablesSay) {
  const std::vector<Bf16> a = random_bf16(16 * 16, 1), b = random_bf16(16 * 8, 2);
  std::vector<float> d(16 * 8, 0.5F);
  launch(multiply_by_tables, 1, kWarpLanes, 0, nullptr, a.data(), b.data(), d.data());
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double expected = 0.5;
      for (int k = 0; k < 16; ++k) {
        expected += static_cast<double>(to_float(a[row * 16 + k])) * to_float(b[k * 8 + column]);
      }
      EXPECT_NEAR(d[row * 8 + column], expected, 2e-5);  // 16 roundings of sums near 10
    }
  }
}

/// Four 8x8 matrices, one after the other in shared memory; `out` (32, 4) is what the lanes got.
template <bool kTransposed>
void load_four(const Bf16* matrices, std::uint32_t* out) {
  auto* shared = static_cast<Bf16*>(shared_memory());
  for (int i = 0; i < 8; ++i) shared[thread_index() * 8 + i] = matrices[thread_index() * 8 + i];
  warp_barrier();
  std::uint32_t r[4];
  load_matrices<kTransposed>(r, shared + thread_index() * 8);
  for (int m = 0; m < 4; ++m) out[thread_index() * 4 + m] = r[m];
}

TEST(MatrixWords, LoadMatricesPlainAndTransposed) {
  const std::vector<Bf16> matrices = random_bf16(4 * 64, 3);
  std::vector<std::uint32_t> plain(128), transposed(128);
  launch(load_four<false>, 1, kWarpLanes, 512, nullptr, matrices.data(), plain.data());
  launch(load_four<true>, 1, kWarpLanes, 512, nullptr, matrices.data(), transposed.data());
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const int g = lane / 4, c = lane % 4 * 2;
    for (int m = 0; m < 4; ++m) {
      const auto element = [&](int row, int column) { return matrices[m * 64 + row * 8 + column].bits; };
      const std::uint32_t r = plain[lane * 4 + m], t = transposed[lane * 4 + m];
      EXPECT_EQ(r & 0xFFFFU, element(g, c));
      EXPECT_EQ(r >> 16U, element(g, c + 1));
      EXPECT_EQ(t & 0xFFFFU, element(c, g));
      EXPECT_EQ(t >> 16U, element(c + 1, g));
    }
  }
}

TEST(MatrixWords, PackTheLowHalfFirst) {
  EXPECT_EQ(pack_bf16(1.0F, -2.0F), 0xC0003F80U);
  float low, high;
  unpack_bf16(0xC0003F80U, low, high);
  EXPECT_EQ(low, 1.0F);
  EXPECT_EQ(high, -2.0F);
}

/// Two groups of copies; the first is read after the wait that lets the second be under way.
void copy_in_two_groups(const float* from, float* out) {
  auto* shared = static_cast<float*>(shared_memory());
  copy_async_16(shared, from);
  copy_async_16(shared + 4, from, /*valid=*/false);
  copy_async_commit();
  copy_async_16(shared + 8, from + 4);
  copy_async_commit();
  copy_async_wait<1>();
  for (int i = 0; i < 12; ++i) out[i] = shared[i];
  copy_async_wait<0>();
  for (int i = 0; i < 4; ++i) out[12 + i] = shared[8 + i];
}

TEST(CopyWords, LandAtTheirWait) {
  alignas(16) const float from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> out(16);
  launch(copy_in_two_groups, 1, 1, 48, nullptr, &from[0], out.data());
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(out[i], from[i]);
    EXPECT_EQ(out[4 + i], 0.0F);
    EXPECT_TRUE(std::isnan(out[8 + i]));
    EXPECT_EQ(out[12 + i], from[4 + i]);
  }
}

void vote_and_sum(std::uint32_t* votes, float* sums, int* blocks) {
  votes[thread_index()] = ballot(thread_index() % 3 == 0);
  sums[thread_index()] = warp_sum(1.0F / static_cast<float>(1 + thread_index()));
  *blocks = block_count();
}

TEST(LaneWords, VoteAndSum) {
  std::vector<std::uint32_t> votes(32);
  std::vector<float> sums(32);
  int blocks = 0;
  launch(vote_and_sum, 3, 32, 0, nullptr, votes.data(), sums.data(), &blocks);
  EXPECT_EQ(blocks, 3);
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(votes[lane], 0x49249249U);
    EXPECT_EQ(sums[lane], sums[0]);
    EXPECT_NEAR(sums[lane], 4.0584952, 1e-6);
  }
}

void move_sixteen_bytes(const Bf16* from, Bf16* to) { store_16(to, load_16<Word4>(from)); }

TEST(SixteenBytes, MoveAsOne) {
  alignas(16) const Bf16 from[8] = {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}};
  alignas(16) Bf16 to[8] = {};
  launch(move_sixteen_bytes, 1, 1, 0, nullptr, &from[0], &to[0]);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(to[i].bits, i + 1);
}

TEST(FastArithmetic, FlushesToZero) {
  EXPECT_NEAR(exp2_fast(-3.5F), std::exp2(-3.5), 1e-8);
  EXPECT_NEAR(exp_fast(1.5F), std::exp(1.5), 5e-6);
  EXPECT_EQ(reciprocal_fast(4.0F), 0.25F);
  EXPECT_EQ(rsqrt_fast(4.0F), 0.5F);
  EXPECT_EQ(exp2_fast(-130.0F), 0.0F);
  EXPECT_TRUE(std::isinf(reciprocal_fast(1e-40F)));
}

}  // namespace
}  // namespace vrwkv::kernels::device
