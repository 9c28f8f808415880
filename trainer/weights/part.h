// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/weights/weight.h"

namespace vrwkv::weights {

/// Where a size shows: in one dimension of a tensor. "blocks.*." stands for every block.
struct Place {
  const char* name;
  std::size_t dimension;
  std::size_t dimensions;  ///< that the tensor has; one with more or fewer says nothing
};

/// The shapes of a table's tensors whose names begin with one prefix. Refers to the table.
class Part {
 public:
  Part(const WeightTable& table, const std::string& prefix);

  bool exists() const { return tensors_ > 0; }

  /// What most of the places say, the larger size when two have as many; nothing when no tensor shows it. So
  /// one tensor that is missing or misshapen does not hide what else does not fit.
  std::optional<std::int64_t> size(std::initializer_list<Place> places) const;

  /// One more than the highest index of a block, unless the tensors are far too few for so many.
  std::int64_t blocks() const;

 private:
  void add(const std::string& name, const std::vector<std::int64_t>& shape);

  std::map<std::string, std::vector<const std::vector<std::int64_t>*>> shapes_;
  std::int64_t tensors_ = 0;
  std::int64_t highest_block_ = -1;
};

}  // namespace vrwkv::weights
