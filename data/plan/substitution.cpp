// SPDX-License-Identifier: Apache-2.0
#include "data/plan/substitution.h"

#include <numeric>

namespace vrwkv::data {
namespace {

/// Far from the place and from those that other small numbers of attempts reach: near the golden section.
std::int64_t stride_of(std::int64_t epoch_length) {
  std::int64_t stride = epoch_length * 55 / 89;
  while (std::gcd(stride, epoch_length) != 1) ++stride;
  return stride;
}

}  // namespace

Substitution::Substitution(std::int64_t epoch_length)
    : epoch_length_(epoch_length), stride_(stride_of(epoch_length)) {}

std::int64_t Substitution::position(std::int64_t position, std::int64_t attempt) const {
  const std::int64_t place = position % epoch_length_;
  return position - place + (place + attempt * stride_) % epoch_length_;
}

std::optional<Candidate> Substitution::first(std::int64_t place,
                                             const std::function<std::int64_t(std::int64_t)>& record_at,
                                             const std::function<bool(const Candidate&)>& takes) const {
  for (std::int64_t attempt = 0; attempt < attempts(); ++attempt) {
    const Candidate candidate{attempt, record_at(position(place, attempt))};
    if (takes(candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace vrwkv::data
