// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vrwkv::data {

/// Deals the samples of a step to its micro-batches: a pure function of their costs, so that any rank knows
/// the whole deal and a resume replays nothing.
///
/// First to groups of 8 micro-batches (4, 2 or 1 where 8 does not divide their count), then, in the same way,
/// within each. Dearest first, each sample goes to what costs the least so far (longest processing time;
/// Graham 1969). While the dearest group costs over 1.005 of the mean, it exchanges one of its samples for
/// one of another group so that the two come as near to each other as possible.
///
/// Groups, and micro-batches within a group, are numbered so that contiguous shares of them cost nearly the
/// same, too: the dearer half, dearest first, is paired with the cheaper half, cheapest first, the pairs are
/// paired likewise, and so on up to one block of all (for prime factors p of the count other than two, blocks
/// of p). The share of a rank is made of such blocks.
///
/// @param costs          of each sample, 0 or more; of equal ones the first counts as the dearer.
/// @param micro_batches  1 or more.
/// @return for each micro-batch its samples (indices into `costs`), ascending; none where there are fewer
/// samples than micro-batches, and some may be empty, too, beside ones of long samples.
std::vector<std::vector<std::int64_t>> deal(std::span<const std::int64_t> costs, std::int64_t micro_batches);

}  // namespace vrwkv::data
