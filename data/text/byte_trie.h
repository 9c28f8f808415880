// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vrwkv::data {

/// Finds the longest of a fixed set of byte strings at the start of a text: a double-array trie (Aoe 1989),
/// where a step costs one addition and one look into memory.
class ByteTrie {
 public:
  ByteTrie() = default;
  /// `words[i]` gets the value i; empty ones are left out. Of equal ones the last counts.
  explicit ByteTrie(const std::vector<std::string>& words);

  struct Match {
    std::uint32_t value = 0;
    std::uint32_t length = 0;  ///< 0: no word starts the text
  };
  Match longest(std::string_view text) const noexcept;

  std::size_t bytes() const noexcept { return slots_.size() * sizeof(Slot); }

 private:
  friend class ByteTrieBuilder;
  static constexpr std::uint32_t kNone = 0xffffffff;

  /// A node. Its child by byte b lies at slot `children + b`, if that slot's `parent` is this node.
  struct Slot {
    std::uint32_t children = 0;
    std::uint32_t parent = kNone;
    std::uint32_t value = kNone;
  };
  std::vector<Slot> slots_;
};

}  // namespace vrwkv::data
