// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace vrwkv {

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection of 64 bits that spreads every input bit.
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// A seed for one named purpose, so that parts of a run draw from unrelated streams.
constexpr std::uint64_t derive_seed(std::uint64_t seed, std::string_view purpose) noexcept {
  std::uint64_t hash = mix64(seed + 0x9e3779b97f4a7c15ULL);
  for (const char c : purpose) hash = mix64(hash ^ static_cast<unsigned char>(c)) + 0x9e3779b97f4a7c15ULL;
  return hash;
}

}  // namespace vrwkv
