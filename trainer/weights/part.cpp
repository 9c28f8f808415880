// SPDX-License-Identifier: Apache-2.0
#include "trainer/weights/part.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace vrwkv::weights {
namespace {

/// Every block of every model we know has more tensors.
constexpr std::int64_t kFewInBlock = 8;

}  // namespace

Part::Part(const WeightTable& table, const std::string& prefix) {
  for (auto entry = table.lower_bound(prefix); entry != table.end() && entry->first.starts_with(prefix);
       ++entry)
    add(entry->first.substr(prefix.size()), entry->second.shape);
}

void Part::add(const std::string& name, const std::vector<std::int64_t>& shape) {
  ++tensors_;
  shapes_[name].push_back(&shape);
  constexpr std::string_view kBlocks = "blocks.";
  if (!name.starts_with(kBlocks)) return;
  std::int64_t index = -1;
  const char* const end = name.data() + name.size();
  const auto [rest, failure] = std::from_chars(name.data() + kBlocks.size(), end, index);
  if (failure != std::errc() || index < 0 || rest == end || *rest != '.') return;
  highest_block_ = std::max(highest_block_, index);
  shapes_["blocks.*" + std::string(rest, end)].push_back(&shape);
}

std::optional<std::int64_t> Part::size(std::initializer_list<Place> places) const {
  std::map<std::int64_t, int> votes;
  for (const Place& place : places) {
    const auto found = shapes_.find(place.name);
    if (found == shapes_.end()) continue;
    for (const std::vector<std::int64_t>* shape : found->second)
      if (shape->size() == place.dimensions && (*shape)[place.dimension] > 0)
        ++votes[(*shape)[place.dimension]];
  }
  std::optional<std::int64_t> winner;
  int most = 0;
  for (const auto& [size, count] : votes)
    if (count >= most) {
      winner = size;
      most = count;
    }
  return winner;
}

std::int64_t Part::blocks() const { return std::min(highest_block_, tensors_ / kFewInBlock) + 1; }

}  // namespace vrwkv::weights
