// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "data/index/mixture.h"
#include "data/sampler.h"

namespace vrwkv::data {

/// What the order needs to know of one source.
struct SourceSize {
  std::int64_t samples = 0;
  std::int64_t samples_per_epoch = 0;
  bool takes_all = true;  ///< each sample once an epoch: place and sample are the same number
};

/// Which record of a mixture stands at which position of a run. An epoch holds Part::samples_per_epoch places
/// for each source, and a Sampler over all places says the order of the epoch. The places of a source with
/// weight 1 are its samples. Those of another take its samples in an order of their own, which goes on from
/// epoch to epoch (with kVisualRwkv: from pass to pass), so that every sample comes up equally often.
class MixtureOrder {
 public:
  /// @throws ConfigError as Sampler does.
  MixtureOrder(const Mixture& mixture, std::uint64_t seed, SampleOrder order = SampleOrder::kBijection);
  /// The same for sources of these sizes, one at least.
  MixtureOrder(const std::vector<SourceSize>& sources, std::uint64_t seed, SampleOrder order);

  /// The record number at `position` (from 0), which counts on over epochs.
  std::int64_t at(std::int64_t position) const;
  std::int64_t samples_per_epoch() const { return places_.samples(); }
  /// Positions of an epoch or, with kVisualRwkv, of a pass of the original's order.
  std::int64_t pass_length() const { return places_.pass_length(); }
  /// How often a record may come up in a pass at most.
  std::int64_t most_per_pass(std::int64_t record) const;
  /// How many records do not come up in a pass, at least; just so many when all sources have weight 1.
  std::int64_t left_out_per_pass() const;
  std::vector<SourceSize> sources() const;

 private:
  struct Part {
    std::int64_t first_place = 0, first_record = 0;
    SourceSize size;
    Sampler own_order;
  };
  Sampler places_;
  std::vector<Part> parts_;
};

}  // namespace vrwkv::data
