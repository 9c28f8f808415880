// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace vrwkv::kernels {

/// One addition of a tree: value[left] += value[right].
struct Merge {
  std::size_t left = 0;
  std::size_t right = 0;
  bool operator==(const Merge& other) const { return left == other.left && right == other.right; }
};

}  // namespace vrwkv::kernels
