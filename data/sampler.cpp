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

bool is_prime(std::int64_t number) {
  for (std::int64_t divisor = 2; divisor * divisor <= number; ++divisor)
    if (number % divisor == 0) return false;
  return number >= 2;
}

/// Cubing is a bijection modulo a prime 3n + 2.
std::int64_t largest_cubing_prime_below(std::int64_t samples) {
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  if (samples < 3 || samples > kMost)
    throw ConfigError(
        "sampler: {} samples, but [data] order = \"visualrwkv\" is defined for 3 to 2^31 (it needs a prime "
        "below). "
        "Choose order = \"bijection\".",
        samples);
  std::int64_t prime = samples - 1;
  while (prime % 3 != 2 || !is_prime(prime)) --prime;
  return prime;
}

}  // namespace

Sampler::Sampler(std::int64_t samples, std::uint64_t seed, SampleOrder order)
    : samples_(samples), key_(derive_seed(seed, "sample order")), half_bits_(1) {
  if (samples < 1) throw ConfigError("sampler: {} samples (there must be one at least)", samples);
  const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(samples - 1)));
  half_bits_ = std::max(1, (bits + 1) / 2);
  if (order == SampleOrder::kVisualRwkv) prime_ = largest_cubing_prime_below(samples);
}

std::int64_t Sampler::at(std::int64_t position) const {
  return prime_ == 0 ? shuffled(position) : cubed(position);
}

std::int64_t Sampler::cubed(std::int64_t position) const {
  const std::int64_t residue = position % prime_;  // below 2^31 for any data file: squares fit
  const std::int64_t index = residue * residue % prime_ * residue % prime_;
  return position < prime_ ? index : samples_ - 1 - index;
}

std::int64_t Sampler::shuffled(std::int64_t position) const {
  const auto epoch = static_cast<std::uint64_t>(position / samples_);
  const std::uint64_t key = mix64(key_ + (epoch + 1) * kGoldenRatio);
  auto value = static_cast<std::uint64_t>(position % samples_);
  do {
    value = feistel(value, half_bits_, key);
  } while (value >= static_cast<std::uint64_t>(samples_));
  return static_cast<std::int64_t>(value);
}

}  // namespace vrwkv::data
