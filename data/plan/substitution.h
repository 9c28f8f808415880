// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace vrwkv::data {

/// A place of a step whose own sample did not enter.
struct Replacement {
  static constexpr std::int64_t kNothing = -1;

  std::int64_t place = 0;   ///< in the step, from 0
  std::int64_t record = 0;  ///< the place's own sample
  std::int64_t attempts =
      0;  ///< samples that were bad: the own one, and others that would have had its place
  std::int64_t substitute = 0;  ///< the sample that entered, or kNothing (it was skipped)
  bool operator==(const Replacement&) const = default;
};

/// A sample that may take a place.
struct Candidate {
  std::int64_t attempt = 0;
  std::int64_t record = 0;
};

/// Which sample takes the place of a bad one: a rule, so that the choice is the same on any number of ranks
/// and an auditor can repeat it.
///
/// The place at `position` is taken by the sample of the same epoch that stands a stride further in the
/// order, if that is bad, too, by the one two strides further, and so on, from the epoch's end to its
/// beginning. The stride is prime to the epoch's length, so that all samples would have their turn.
class Substitution {
 public:
  /// @param epoch_length  positions in an epoch, 1 or more.
  explicit Substitution(std::int64_t epoch_length);

  /// @param attempt  0: the place's own sample; below attempts().
  /// @return a position of the order, in the same epoch.
  std::int64_t position(std::int64_t position, std::int64_t attempt) const;
  /// Attempts that are worth making: with so many bad samples in a row the data is not what it should be.
  std::int64_t attempts() const { return epoch_length_ < kMostAttempts ? epoch_length_ : kMostAttempts; }
  /// The first sample that takes the place, of those that may.
  /// @param record_at  the order: the record at a position.
  /// @param takes      asked of one after the other, the place's own first, until one does.
  std::optional<Candidate> first(std::int64_t position,
                                 const std::function<std::int64_t(std::int64_t)>& record_at,
                                 const std::function<bool(const Candidate&)>& takes) const;
  std::int64_t epoch_length() const { return epoch_length_; }

 private:
  static constexpr std::int64_t kMostAttempts = 100;
  std::int64_t epoch_length_;
  std::int64_t stride_;
};

}  // namespace vrwkv::data
