// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tree_sum/merge.h"

namespace vrwkv::kernels {

/// A tree of additions, depth first: take a value onto a stack, make its two newest entries one so many
/// times, take the next value. A tree over n values that lie in order needs a stack of about log2(n) entries.
struct AdditionOrder {
  struct Step {
    std::size_t value = 0;
    std::size_t additions = 0;  ///< after this value was taken
  };
  std::vector<Step> steps;
  std::size_t depth = 0;  ///< the most entries of the stack
};

/// What makes value 0 the same sum as `merges` do, whose indices are below `values`; values that it has no
/// part of are left out. Work and memory grow with the number of its summands.
AdditionOrder addition_order(std::size_t values, std::span<const Merge> merges);

}  // namespace vrwkv::kernels
