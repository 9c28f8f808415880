// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace vrwkv::data {

/// The initial state of Python's `random.seed(number)`: MT19937's init_by_array (Matsumoto and Nishimura,
/// 2002) with the number as the only word. For the constructor of std::mt19937.
class PythonSeed {
 public:
  using result_type = std::uint32_t;
  explicit PythonSeed(std::uint32_t number) : number_(number) {}

  template <class Iterator>
  void generate(Iterator begin, Iterator end) const {
    const std::vector<std::uint32_t> words = state(static_cast<std::size_t>(end - begin));
    std::copy(words.begin(), words.end(), begin);
  }

 private:
  std::vector<std::uint32_t> state(std::size_t words) const;
  std::uint32_t number_;
};

/// Python's `random.seed(seed); random.shuffle(list)` (3.2 and later), for lists shorter than 2^32.
template <class Value>
void python_shuffle(std::vector<Value>& list, std::uint32_t seed) {
  PythonSeed words(seed);
  std::mt19937 random(words);
  for (std::size_t i = list.size(); i-- > 1;) {
    const auto bits = std::bit_width(static_cast<std::uint32_t>(i + 1));
    std::uint32_t place = 0;
    do {
      place = static_cast<std::uint32_t>(random()) >> (32 - bits);
    } while (place > i);
    std::swap(list[i], list[place]);
  }
}

}  // namespace vrwkv::data
