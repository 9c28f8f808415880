// SPDX-License-Identifier: Apache-2.0
// Compiled once for each instruction set: see common/instruction_set.h.
#include "data/image/resize_passes.h"

#include "data/image/byte_lanes.h"

namespace vrwkv::data::VRWKV_INSTRUCTION_SET {
namespace {

// The sums are of 32 bits, but over thousands of taps their low parts pass that: they are unsigned, and the
// whole, which fits, is right whatever wrapped around on the way.
constexpr std::uint32_t kHalf = std::uint32_t{1} << (kResizeFractionBits - 1);
constexpr std::uint32_t kLift = std::uint32_t{1} << PairWeights::kLowBits;

/// The weighted sums of kLaneBytes neighbouring bytes, rounded; the input places are `stride` bytes apart.
/// Processors multiply 16-bit numbers in pairs and add the two products: hence the weights' two parts.
[[gnu::always_inline]] inline Bytes weigh(const std::uint8_t* in, std::int64_t stride,
                                          const PairWeights* pairs, std::int64_t count) {
  const Ints zero{};
  const UnsignedInts none{}, half = none + kHalf;
  UnsignedInts high[4] = {none, none, none, none}, low[4] = {half, half, half, half};
  for (std::int64_t tap = 0; tap < count; tap += 2, ++pairs, in += 2 * stride) {
    const Bytes first = load(in), second = load(tap + 1 < count ? in + stride : in);
    const Bytes lower = interleave_low(first, second), upper = interleave_high(first, second);
    const Bytes widened[4] = {interleave_low(lower, Bytes{}), interleave_high(lower, Bytes{}),
                              interleave_low(upper, Bytes{}), interleave_high(upper, Bytes{})};
    const Ints high_weights = zero + pairs->high, low_weights = zero + pairs->low;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Shorts values = reinterpret_cast<Shorts>(widened[i]);
      high[i] +=
          reinterpret_cast<UnsignedInts>(pair_products(values, reinterpret_cast<Shorts>(high_weights)));
      low[i] += reinterpret_cast<UnsignedInts>(pair_products(values, reinterpret_cast<Shorts>(low_weights)));
    }
  }
  Ints levels[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    levels[i] = reinterpret_cast<Ints>(high[i] * kLift + low[i]) >> kResizeFractionBits;
  return pack(levels[0], levels[1], levels[2], levels[3]);
}

/// The same for one byte.
std::uint8_t weigh_byte(const std::uint8_t* in, std::int64_t stride, const PairWeights* pairs,
                        std::int64_t count) {
  std::uint32_t high = 0, low = kHalf;
  for (std::int64_t tap = 0; tap < count; ++tap) {
    const int shift = tap % 2 == 0 ? 0 : 16;
    const auto product = [&](std::int32_t weights) {
      return static_cast<std::uint32_t>(static_cast<std::int16_t>(weights >> shift) * in[tap * stride]);
    };
    high += product(pairs[tap / 2].high);
    low += product(pairs[tap / 2].low);
  }
  const std::int32_t level = static_cast<std::int32_t>(high * kLift + low) >> kResizeFractionBits;
  return static_cast<std::uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
}

constexpr std::int64_t kTile = 16;
typedef std::uint8_t TileRow __attribute__((vector_size(kTile)));

/// to[j][i] = from[i][j] for one block of kTile x kTile bytes. Four times the first half of the rows is
/// interleaved with the second: each time the first bit of a byte's address becomes its last.
[[gnu::always_inline]] inline void transpose(const std::uint8_t* from, std::int64_t from_stride,
                                             std::uint8_t* to, std::int64_t to_stride) {
  TileRow rows[kTile], next[kTile];
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) __builtin_memcpy(&rows[i], from + i * from_stride, kTile);
#pragma GCC unroll 4
  for (int step = 0; step < 4; ++step) {
#pragma GCC unroll 8
    for (int i = 0; i < kTile / 2; ++i) {
      const TileRow a = rows[i], b = rows[i + kTile / 2];
      next[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] =
          __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) __builtin_memcpy(to + i * to_stride, &rows[i], kTile);
}

/// to[j][i] = from[i][j] for `height` rows of `width` bytes, whatever is not a multiple of kTile byte by
/// byte.
void transpose(const std::uint8_t* from, std::int64_t from_stride, std::int64_t height, std::int64_t width,
               std::uint8_t* to, std::int64_t to_stride) {
  const std::int64_t whole_height = height - height % kTile, whole_width = width - width % kTile;
  for (std::int64_t y = 0; y < whole_height; y += kTile)
    for (std::int64_t x = 0; x < whole_width; x += kTile)
      transpose(from + y * from_stride + x, from_stride, to + x * to_stride + y, to_stride);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = y < whole_height ? whole_width : 0; x < width; ++x)
      to[x * to_stride + y] = from[y * from_stride + x];
}

constexpr std::int64_t kRows = kResizeRowsTogether;
/// One pixel column: its three channels, each of kRows rows.
constexpr std::int64_t kColumn = 3 * kRows;

}  // namespace

void vertical_pass(const std::uint8_t* in, std::int64_t row_bytes, std::int64_t first_row,
                   const TapsView& taps, std::uint8_t* out) {
  for (std::int64_t place = 0; place < taps.places; ++place, out += row_bytes) {
    const std::uint8_t* rows = in + (taps.first[place] - first_row) * row_bytes;
    const PairWeights* pairs = taps.pairs + place * taps.stride;
    const std::int64_t count = taps.count[place];
    std::int64_t i = 0;
    for (; i + kLaneBytes <= row_bytes; i += kLaneBytes)
      store(out + i, weigh(rows + i, row_bytes, pairs, count));
    for (; i < row_bytes; ++i) out[i] = weigh_byte(rows + i, row_bytes, pairs, count);
  }
}

void horizontal_pass(const std::uint8_t* rgb, std::int64_t in_width, std::int64_t rows, const TapsView& taps,
                     std::uint8_t* columns, std::uint8_t* out, std::int64_t plane_bytes) {
  transpose(rgb, in_width * 3, rows, in_width * 3, columns, kRows);
  std::uint8_t tile[kTile * kColumn];  // (place, channel, row)
  for (std::int64_t begin = 0; begin < taps.places; begin += kTile) {
    const std::int64_t places = taps.places - begin < kTile ? taps.places - begin : kTile;
    for (std::int64_t i = 0; i < places; ++i) {
      const std::int64_t place = begin + i;
      const std::uint8_t* in = columns + taps.first[place] * kColumn;
      for (std::int64_t lane = 0; lane < kColumn; lane += kLaneBytes)
        store(tile + i * kColumn + lane,
              weigh(in + lane, kColumn, taps.pairs + place * taps.stride, taps.count[place]));
    }
    for (std::int64_t channel = 0; channel < 3; ++channel)
      transpose(tile + channel * kRows, kColumn, places, rows, out + channel * plane_bytes + begin,
                taps.places);
  }
}

}  // namespace vrwkv::data::VRWKV_INSTRUCTION_SET
