// SPDX-License-Identifier: Apache-2.0
#include "data/mixture_order.h"

#include <fmt/core.h>

#include <algorithm>

#include "common/random.h"

namespace vrwkv::data {
namespace {

std::vector<SourceSize> sizes_of(const Mixture& mixture) {
  std::vector<SourceSize> sizes;
  for (const Mixture::Part& part : mixture.parts())
    sizes.push_back({part.index.size(), part.samples_per_epoch, part.source.weight == 1});
  return sizes;
}

std::int64_t places_of(const std::vector<SourceSize>& sources) {
  std::int64_t places = 0;
  for (const SourceSize& source : sources) places += source.samples_per_epoch;
  return places;
}

}  // namespace

MixtureOrder::MixtureOrder(const Mixture& mixture, std::uint64_t seed, SampleOrder order)
    : MixtureOrder(sizes_of(mixture), seed, order) {}

MixtureOrder::MixtureOrder(const std::vector<SourceSize>& sources, std::uint64_t seed, SampleOrder order)
    : places_(places_of(sources), seed, order) {
  std::int64_t first_place = 0, first_record = 0;
  for (const SourceSize& source : sources) {
    const std::uint64_t own_seed = derive_seed(seed, fmt::format("order of source {}", parts_.size()));
    parts_.push_back({first_place, first_record, source, Sampler(source.samples, own_seed)});
    first_place += source.samples_per_epoch;
    first_record += source.samples;
  }
}

std::int64_t MixtureOrder::at(std::int64_t position) const {
  const std::int64_t place = places_.at(position);
  const auto next = std::upper_bound(parts_.begin(), parts_.end(), place,
                                     [](auto wanted, const Part& part) { return wanted < part.first_place; });
  const Part& part = *std::prev(next);
  const std::int64_t within = place - part.first_place;
  if (part.size.takes_all) return part.first_record + within;
  const std::int64_t pass = position / places_.pass_length();
  return part.first_record + part.own_order.at(pass * part.size.samples_per_epoch + within);
}

std::int64_t MixtureOrder::most_per_pass(std::int64_t record) const {
  const auto next = std::upper_bound(parts_.begin(), parts_.end(), record, [](auto wanted, const Part& part) {
    return wanted < part.first_record;
  });
  const SourceSize& size = std::prev(next)->size;
  // A pass of the whole order may meet the end of one pass over the source and the beginning of another.
  return size.takes_all ? 1 : size.samples_per_epoch / size.samples + 2;
}

std::int64_t MixtureOrder::left_out_per_pass() const {
  std::int64_t records = 0, beyond_weight = 0;
  for (const Part& part : parts_) {
    records += part.size.samples;
    beyond_weight += std::max<std::int64_t>(0, part.size.samples - part.size.samples_per_epoch);
  }
  return std::max(beyond_weight, records - pass_length());
}

std::vector<SourceSize> MixtureOrder::sources() const {
  std::vector<SourceSize> sources;
  for (const Part& part : parts_) sources.push_back(part.size);
  return sources;
}

}  // namespace vrwkv::data
