// SPDX-License-Identifier: Apache-2.0
#include "data/sampler.h"

#include <algorithm>
#include <bit>

#include "common/error.h"
#include "common/random.h"

namespace vrwkv::data {
namespace {

constexpr int kRounds = 8;
constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15ULL;

/// One of the permutations of [0, 4^half_bits), chosen by the key.
std::uint64_t feistel(std::uint64_t value, int half_bits, std::uint64_t key) {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  std::uint64_t left = value >> half_bits;
  std::uint64_t right = value & mask;
  for (int round = 0; round < kRounds; ++round) {
    key += kGoldenRatio;
    const std::uint64_t mixed = left ^ (mix64(mix64(key) ^ right) & mask);
    left = right;
    right = mixed;
  }
  return (left << half_bits) | right;
}

}  // namespace

Sampler::Sampler(std::int64_t samples, std::uint64_t seed)
    : samples_(samples), key_(derive_seed(seed, "sample order")), half_bits_(1) {
  if (samples < 1) throw ConfigError("sampler: {} samples (there must be one at least)", samples);
  const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(samples - 1)));
  half_bits_ = std::max(1, (bits + 1) / 2);
}

std::int64_t Sampler::at(std::int64_t position) const {
  const auto epoch = static_cast<std::uint64_t>(position / samples_);
  const std::uint64_t key = mix64(key_ + (epoch + 1) * kGoldenRatio);
  auto value = static_cast<std::uint64_t>(position % samples_);
  do {
    value = feistel(value, half_bits_, key);
  } while (value >= static_cast<std::uint64_t>(samples_));
  return static_cast<std::int64_t>(value);
}

}  // namespace vrwkv::data
