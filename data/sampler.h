// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vrwkv::data {

/// The order in which samples enter training: in every epoch each sample once, in another order, known at any
/// position in constant time and memory. Depends on the number of samples, the seed and the position alone,
/// never on ranks.
///
/// A balanced Feistel network permutes the smallest power of four that holds all samples; positions that it
/// sends beyond the last sample are sent on until they fall inside (cycle walking; Black and Rogaway 2002).
class Sampler {
 public:
  /// @throws ConfigError unless `samples` is positive.
  Sampler(std::int64_t samples, std::uint64_t seed);

  /// The sample at `position` (from 0), which counts on over epochs.
  std::int64_t at(std::int64_t position) const;
  std::int64_t samples() const { return samples_; }

 private:
  std::int64_t samples_;
  std::uint64_t key_;
  int half_bits_;
};

}  // namespace vrwkv::data
