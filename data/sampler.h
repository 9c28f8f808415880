// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vrwkv::data {

enum class SampleOrder {
  kBijection,   ///< every epoch another shuffle, by the seed
  kVisualRwkv,  ///< the original's: cubes modulo a prime, the list reversed from the second pass on
};

/// The order in which samples enter training: in every epoch each sample once, in another order, known at any
/// position in constant time and memory. Depends on the number of samples, the seed and the position alone,
/// never on ranks.
///
/// A balanced Feistel network permutes the smallest power of four that holds all samples; positions that it
/// sends beyond the last sample are sent on until they fall inside (cycle walking; Black and Rogaway 2002).
class Sampler {
 public:
  /// With kVisualRwkv and N samples: position s takes sample s^3 mod p, p the largest prime 3n + 2 below N,
  /// and from s = p on the same place counted from the end. The last N - p samples come up in the reversed
  /// passes only; all of these are alike. The seed does not matter.
  /// @throws ConfigError unless `samples` is positive; with kVisualRwkv, unless it is 3 or more.
  Sampler(std::int64_t samples, std::uint64_t seed, SampleOrder order = SampleOrder::kBijection);

  /// The sample at `position` (from 0), which counts on over epochs.
  std::int64_t at(std::int64_t position) const;
  std::int64_t samples() const { return samples_; }
  /// Positions after which the samples come up again: all, or with kVisualRwkv p of them.
  std::int64_t pass_length() const { return prime_ == 0 ? samples_ : prime_; }

 private:
  std::int64_t shuffled(std::int64_t position) const;
  std::int64_t cubed(std::int64_t position) const;

  std::int64_t samples_;
  std::uint64_t key_;
  int half_bits_;
  std::int64_t prime_ = 0;  ///< of the original's order; 0: the bijection
};

}  // namespace vrwkv::data
