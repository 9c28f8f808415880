// SPDX-License-Identifier: Apache-2.0
#include "data/image/resize_passes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/random.h"
#include "data/image/resize_taps.h"

namespace vrwkv::data {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// What one processor can run.
struct InstructionSet {
  const char* name;
  bool is_here;
  decltype(&portable::vertical_pass) vertical_pass;
  decltype(&portable::horizontal_pass) horizontal_pass;
};

std::vector<InstructionSet> instruction_sets() {
  return {
    {"portable", true, portable::vertical_pass, portable::horizontal_pass},
#if defined(__x86_64__)
        {"avx2", has_avx2(), avx2::vertical_pass, avx2::horizontal_pass},
        {"avx512", has_avx512(), avx512::vertical_pass, avx512::horizontal_pass},
#endif
  };
}

Bytes noise(std::int64_t count) {
  Bytes bytes(static_cast<std::size_t>(count));
  // Black and white among the rest, so that sums leave the range of a byte.
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(
        std::clamp<std::int64_t>(static_cast<std::int64_t>(mix64(i) % 512) - 128, 0, 255));
  return bytes;
}

std::int64_t weight_of(const TapsView& taps, std::int64_t place, std::int64_t tap) {
  const PairWeights pair = taps.pairs[place * taps.stride + tap / 2];
  const auto half = [&](std::int32_t both) {
    return static_cast<std::int16_t>(tap % 2 == 0 ? both : both >> 16);
  };
  return std::int64_t{half(pair.high)} * (1 << PairWeights::kLowBits) + half(pair.low);
}

/// Input place i is at `in[i * stride]`.
std::uint8_t weigh(const TapsView& taps, std::int64_t place, const std::uint8_t* in, std::int64_t stride) {
  std::int64_t sum = std::int64_t{1} << (kResizeFractionBits - 1);
  for (std::int64_t tap = 0; tap < taps.count[place]; ++tap)
    sum += weight_of(taps, place, tap) * in[(taps.first[place] + tap) * stride];
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> kResizeFractionBits, 0, 255));
}

struct Lengths {
  std::int64_t in, out;
};
constexpr Lengths kLengths[] = {{1, 1}, {1, 5}, {2, 1}, {7, 16}, {40, 17}, {33, 100}, {301, 64}, {5000, 3}};

TEST(ResizePasses, WeightsOfAPlaceAddUpToOne) {
  for (const auto [in, out] : kLengths) {
    const ResizeTaps taps(in, out);
    for (std::int64_t place = 0; place < out; ++place) {
      std::int64_t sum = 0;
      for (std::int64_t tap = 0; tap < taps.view().count[place]; ++tap)
        sum += weight_of(taps.view(), place, tap);
      // Each weight is rounded.
      EXPECT_NEAR(static_cast<double>(sum), 1 << kResizeFractionBits,
                  static_cast<double>(taps.view().count[place]));
    }
  }
}

TEST(ResizePasses, VerticalSumsAreExactInEveryInstructionSet) {
  for (const auto [in, out] : kLengths)
    for (const std::int64_t row_bytes : {1, 15, 16, 67, 192}) {
      const ResizeTaps taps(in, out);
      const Bytes rows = noise((taps.end() - taps.begin()) * row_bytes);
      Bytes expected;
      for (std::int64_t place = 0; place < out; ++place)
        for (std::int64_t i = 0; i < row_bytes; ++i)
          expected.push_back(
              weigh(taps.view(), place, rows.data() + i - taps.begin() * row_bytes, row_bytes));
      for (const InstructionSet& set : instruction_sets()) {
        if (!set.is_here) continue;
        Bytes actual(expected.size());
        set.vertical_pass(rows.data(), row_bytes, taps.begin(), taps.view(), actual.data());
        EXPECT_EQ(actual, expected) << set.name << ": " << in << " to " << out << " rows of " << row_bytes;
      }
    }
}

TEST(ResizePasses, HorizontalSumsAreExactInEveryInstructionSet) {
  for (const auto [in, out] : kLengths)
    for (const std::int64_t rows : {1, 16, 23, 63, 64}) {
      const ResizeTaps taps(in, out);
      const Bytes rgb = noise(rows * in * 3);
      Bytes expected;
      for (std::int64_t channel = 0; channel < 3; ++channel)
        for (std::int64_t row = 0; row < rows; ++row)
          for (std::int64_t place = 0; place < out; ++place)
            expected.push_back(weigh(taps.view(), place, rgb.data() + row * in * 3 + channel, 3));
      for (const InstructionSet& set : instruction_sets()) {
        if (!set.is_here) continue;
        Bytes columns(static_cast<std::size_t>(in * 3 * kResizeRowsTogether)), actual(expected.size());
        set.horizontal_pass(rgb.data(), in, rows, taps.view(), columns.data(), actual.data(), rows * out);
        EXPECT_EQ(actual, expected) << set.name << ": " << rows << " rows of " << in << " to " << out;
      }
    }
}

}  // namespace
}  // namespace vrwkv::data
