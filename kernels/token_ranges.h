// SPDX-License-Identifier: Apache-2.0
// Operators on single tokens share them out in short ranges. A sum over tokens is then made range by range,
// and over the ranges by column_sums(): in an order that depends on the number of tokens alone.
#pragma once

#include <cstdint>

namespace vrwkv::kernels {

inline constexpr std::int64_t kRangeTokens = 32;

/// Tokens [begin, end), at most kRangeTokens.
struct TokenRange {
  std::int64_t index, begin, end;
};

constexpr std::int64_t token_ranges(std::int64_t tokens) {
  return (tokens + kRangeTokens - 1) / kRangeTokens;
}

}  // namespace vrwkv::kernels
