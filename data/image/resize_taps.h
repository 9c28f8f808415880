// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "data/image/resize_passes.h"

namespace vrwkv::data {

/// For each output place of one axis: the input places it is made of and their weights, as Pillow's bicubic
/// filter has them.
class ResizeTaps {
 public:
  /// @param in, out  lengths of the axis, at least 1.
  ResizeTaps(std::int64_t in, std::int64_t out);

  /// Input places that any output place needs: [begin(), end()). Both grow with the output place.
  std::int64_t begin() const { return first_.front(); }
  std::int64_t end() const { return first_.back() + count_.back(); }
  /// Lives as long as this.
  TapsView view() const;

 private:
  std::vector<std::int64_t> first_, count_;
  std::vector<PairWeights> pairs_;
  std::int64_t stride_;
};

}  // namespace vrwkv::data
