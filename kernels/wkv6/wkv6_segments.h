// SPDX-License-Identifier: Apache-2.0
// A call of WKV-6 as one of fewer tokens after another.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/wkv6/wkv6_call.h"

namespace vrwkv::kernels {

/// Tokens [begin, end) of a call, and the sequences that they are of.
struct Wkv6Segment {
  std::int64_t begin, end;
  std::int64_t first_sequence, sequences;
  bool continues_one;  // the first of them began before
  bool is_continued;   // the last of them goes on behind
};

/// @param bounds  sequence s is tokens [bounds[s], bounds[s + 1]).
/// @param tokens  of each segment but the last.
std::vector<Wkv6Segment> wkv6_segments(const std::vector<std::int64_t>& bounds, std::int64_t tokens);

/// The most tokens of a segment, 64 or a power of two times that, with which `budget` is kept, or those with
/// which the least is held: the states before segments, and those kept of one.
std::int64_t wkv6_segment_tokens(const Wkv6Call& call, std::int64_t budget);

/// The call of a segment alone.
/// @param bounds   of the whole call.
/// @param carried  (B, 1, H, N, N), the state before its first token; read where it continues a sequence.
Wkv6Call wkv6_part(const Wkv6Call& call, const std::vector<std::int64_t>& bounds, const Wkv6Segment& segment,
                   const at::Tensor& carried);

}  // namespace vrwkv::kernels
