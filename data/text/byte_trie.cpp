// SPDX-License-Identifier: Apache-2.0
#include "data/text/byte_trie.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <span>

namespace vrwkv::data {

/// Places the nodes breadth first, each node's children at the first offset where all of them fit.
class ByteTrieBuilder {
 public:
  ByteTrieBuilder(const std::vector<std::string>& words, std::vector<ByteTrie::Slot>& slots)
      : words_(words), slots_(slots) {}

  void build() {
    std::vector<std::uint32_t> order(words_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return words_[a] < words_[b]; });
    const auto first_word =
        std::find_if(order.begin(), order.end(), [&](auto i) { return !words_[i].empty(); });
    slots_.resize(kBytes);
    std::deque<Node> nodes;
    nodes.push_back({0, 0, std::span(first_word, order.end())});
    for (; !nodes.empty(); nodes.pop_front()) place_children(nodes.front(), nodes);
  }

 private:
  static constexpr std::size_t kBytes = 256;
  /// A node and the words (sorted) that start with the `depth` bytes on the way to it.
  struct Node {
    std::uint32_t slot;
    std::size_t depth;
    std::span<const std::uint32_t> words;
  };

  void place_children(Node node, std::deque<Node>& nodes) {
    while (!node.words.empty() && words_[node.words.front()].size() == node.depth) {
      slots_[node.slot].value = node.words.front();
      node.words = node.words.subspan(1);
    }
    if (node.words.empty()) return;
    std::vector<Node> children;
    std::vector<std::uint8_t> labels;
    while (!node.words.empty()) {
      const auto label = byte_at(node.words.front(), node.depth);
      const auto end = std::find_if(node.words.begin(), node.words.end(),
                                    [&](auto word) { return byte_at(word, node.depth) != label; });
      const auto count = static_cast<std::size_t>(end - node.words.begin());
      children.push_back({0, node.depth + 1, node.words.first(count)});
      labels.push_back(label);
      node.words = node.words.subspan(count);
    }
    const std::uint32_t offset = first_fit(labels);
    slots_[node.slot].children = offset;
    for (std::size_t i = 0; i < children.size(); ++i) {
      children[i].slot = offset + labels[i];
      slots_[children[i].slot].parent = node.slot;
      nodes.push_back(children[i]);
    }
  }

  std::uint8_t byte_at(std::uint32_t word, std::size_t depth) const {
    return static_cast<std::uint8_t>(words_[word][depth]);
  }

  /// Also leaves room for all 256 children, so that a look-up never reads beyond the slots.
  std::uint32_t first_fit(const std::vector<std::uint8_t>& labels) {
    while (!is_free(first_free_)) ++first_free_;
    for (std::uint32_t slot = std::max<std::uint32_t>(first_free_, labels.front());; ++slot) {
      if (!is_free(slot)) continue;
      const std::uint32_t offset = slot - labels.front();
      if (slots_.size() < offset + kBytes) slots_.resize(offset + kBytes);
      if (std::all_of(labels.begin(), labels.end(), [&](auto label) { return is_free(offset + label); }))
        return offset;
    }
  }

  bool is_free(std::uint32_t slot) const {
    return slot != 0 && (slot >= slots_.size() || slots_[slot].parent == ByteTrie::kNone);
  }

  const std::vector<std::string>& words_;
  std::vector<ByteTrie::Slot>& slots_;
  std::uint32_t first_free_ = 1;
};

ByteTrie::ByteTrie(const std::vector<std::string>& words) { ByteTrieBuilder(words, slots_).build(); }

ByteTrie::Match ByteTrie::longest(std::string_view text) const noexcept {
  Match match;
  std::uint32_t node = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint32_t child = slots_[node].children + static_cast<std::uint8_t>(text[i]);
    if (slots_[child].parent != node) break;
    node = child;
    if (slots_[node].value != kNone) match = {slots_[node].value, static_cast<std::uint32_t>(i + 1)};
  }
  return match;
}

}  // namespace vrwkv::data
