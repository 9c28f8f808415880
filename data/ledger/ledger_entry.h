// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/plan/substitution.h"

/// What a run writes down of a step: which samples entered which micro-batches.
namespace vrwkv::data {

struct LedgerEntry {
  std::int64_t step = 0;                                 ///< from 1
  std::int64_t position = 0;                             ///< of the step's first place in the data order
  std::int64_t places = 0;                               ///< samples that the step took from the order
  std::vector<std::vector<std::int64_t>> micro_batches;  ///< the records that entered each, in their order
  std::vector<Replacement> replacements;                 ///< by place
  bool operator==(const LedgerEntry&) const = default;
};

/// The entry as bytes: step, position, places; for each micro-batch a count and as many records; a count and
/// as many replacements (place, record, attempts, substitute + 1). Every number is a varint, seven bits a
/// byte, low ones first, the high bit set in all but the last byte, and below 2^49.
std::string encode(const LedgerEntry& entry);
/// @throws DataError "what is wrong" (the caller says where) for bytes that encode() does not give.
LedgerEntry decode(std::string_view bytes);

}  // namespace vrwkv::data
