// SPDX-License-Identifier: Apache-2.0
#include "kernels/wkv6/wkv6_segments.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/sequence_bounds.h"

namespace vrwkv::kernels {

std::vector<Wkv6Segment> wkv6_segments(const std::vector<std::int64_t>& bounds, std::int64_t tokens) {
  std::vector<Wkv6Segment> segments;
  for (std::int64_t begin = 0; begin < bounds.back(); begin += tokens) {
    const std::int64_t end = std::min(begin + tokens, bounds.back());
    const auto first = std::upper_bound(bounds.begin(), bounds.end(), begin) - 1;
    const auto behind = std::lower_bound(bounds.begin(), bounds.end(), end);
    segments.push_back({.begin = begin,
                        .end = end,
                        .first_sequence = first - bounds.begin(),
                        .sequences = behind - first,
                        .continues_one = *first<begin, .is_continued = *behind> end});
  }
  return segments;
}

std::int64_t wkv6_segment_tokens(const Wkv6Call& call, std::int64_t budget) {
  const at::Tensor& r = call.r();
  const std::int64_t state_bytes = r.size(0) * r.size(2) * r.size(3) * r.size(3) * 4;
  std::int64_t best = 0, best_bytes = 0;
  for (std::int64_t tokens = 64; tokens < r.size(1); tokens *= 2) {
    const std::int64_t bytes = (r.size(1) - 1) / tokens * state_bytes + wkv6_kept_bytes_of(call, tokens);
    if (best == 0 || bytes <= budget || bytes < best_bytes) {
      best = tokens;
      best_bytes = bytes;
    }
  }
  return best == 0 ? r.size(1) : best;
}

Wkv6Call wkv6_part(const Wkv6Call& call, const std::vector<std::int64_t>& bounds, const Wkv6Segment& segment,
                   const at::Tensor& carried) {
  Wkv6Call part{.tensors = {}, .kernel = call.kernel};
  const std::int64_t tokens = segment.end - segment.begin;
  for (std::size_t i = 0; i < 4; ++i)
    part.tensors.push_back(call.tensors[i].narrow(1, segment.begin, tokens).contiguous());
  part.tensors.push_back(call.tensors[4]);  // u
  at::Tensor initial;
  if (call.initial_state().defined()) {
    initial = call.initial_state().narrow(1, segment.first_sequence, segment.sequences).clone();
  } else if (segment.continues_one) {
    initial =
        at::zeros({carried.size(0), segment.sequences, carried.size(2), carried.size(3), carried.size(4)},
                  carried.options());
  }
  if (segment.continues_one) initial.narrow(1, 0, 1).copy_(carried);
  part.tensors.push_back(dense_or_none(initial));
  std::vector<std::int64_t> starts;
  for (std::int64_t s = 0; s < segment.sequences; ++s) {
    const std::int64_t start = bounds[static_cast<std::size_t>(segment.first_sequence + s)];
    starts.push_back(std::max<std::int64_t>(0, start - segment.begin));
  }
  part.tensors.push_back(sequence_bounds(at::tensor(starts, at::kLong), tokens, call.r().device()));
  return part;
}

}  // namespace vrwkv::kernels
