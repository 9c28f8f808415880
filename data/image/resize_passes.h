// SPDX-License-Identifier: Apache-2.0
// The two passes of a resize over raw bytes; resize.h is the way in. All sums are exact: every instruction
// set gives the same bytes.
#pragma once

#include <cstdint>

#include "common/instruction_set.h"

namespace vrwkv::data {

/// Weights are integers in units of 2^-22.
inline constexpr int kResizeFractionBits = 22;
/// Rows that the horizontal pass takes together, side by side.
inline constexpr std::int64_t kResizeRowsTogether = 64;

/// Of two neighbouring input places, in the halves of an int32: first the lower one's.
struct PairWeights {
  static constexpr int kLowBits = 11;
  std::int32_t high;  ///< weight >> kLowBits, each with its sign
  std::int32_t low;   ///< the last kLowBits, not negative
};

/// Of one axis: output place p is the weighted sum of the input places from first[p] on, count[p] of them;
/// their weights are the pairs from pairs[p * stride] on. A pair's second weight is zero where count[p] is
/// odd.
struct TapsView {
  const std::int64_t* first;
  const std::int64_t* count;
  const PairWeights* pairs;
  std::int64_t stride, places;
};

VRWKV_FOR_EACH_INSTRUCTION_SET(
    /// `in` holds rows of `row_bytes` from input row `first_row` on; `out` gets a row for each output place.
    void vertical_pass(const std::uint8_t* in, std::int64_t row_bytes, std::int64_t first_row,
                       const TapsView& taps, std::uint8_t* out);

    /// (row, x, channel) to (channel, row, place) for up to kResizeRowsTogether rows. `out` points to where
    /// the first of the rows goes in the first plane; planes are `plane_bytes` apart.
    /// @param columns  in_width * 3 * kResizeRowsTogether bytes to work in.
    void horizontal_pass(const std::uint8_t* rgb, std::int64_t in_width, std::int64_t rows,
                         const TapsView& taps, std::uint8_t* columns, std::uint8_t* out,
                         std::int64_t plane_bytes);)

}  // namespace vrwkv::data
