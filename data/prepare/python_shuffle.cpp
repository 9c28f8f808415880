// SPDX-License-Identifier: Apache-2.0
#include "data/prepare/python_shuffle.h"

namespace vrwkv::data {

std::vector<std::uint32_t> PythonSeed::state(std::size_t words) const {
  std::vector<std::uint32_t> state(words);
  const auto mixed = [&](std::size_t i) { return state[i - 1] ^ (state[i - 1] >> 30); };
  state[0] = 19650218;
  for (std::size_t i = 1; i < words; ++i) state[i] = 1812433253U * mixed(i) + static_cast<std::uint32_t>(i);
  std::size_t i = 1;
  const auto step = [&] {
    if (++i < words) return;
    state[0] = state[words - 1];
    i = 1;
  };
  for (std::size_t left = words; left > 0; --left, step())
    state[i] = (state[i] ^ (mixed(i) * 1664525U)) + number_;
  for (std::size_t left = words - 1; left > 0; --left, step())
    state[i] = (state[i] ^ (mixed(i) * 1566083941U)) - static_cast<std::uint32_t>(i);
  state[0] = 0x80000000U;
  return state;
}

}  // namespace vrwkv::data
