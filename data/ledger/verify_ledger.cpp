// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/verify_ledger.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace vrwkv::data {
namespace {

/// What is in one sorted list and not in the other, as often as there is more of it.
std::vector<std::int64_t> difference(const std::vector<std::int64_t>& of,
                                     const std::vector<std::int64_t>& without) {
  std::vector<std::int64_t> rest;
  std::set_difference(of.begin(), of.end(), without.begin(), without.end(), std::back_inserter(rest));
  return rest;
}

class Verifier {
 public:
  Verifier(const LedgerOrder& order, const LedgerMark& checkpoint) : order_(order), checkpoint_(checkpoint) {}

  void take(const LedgerEntry& entry) {
    follow_on(entry);
    ++proof_.steps;
    std::vector<std::int64_t> entered;
    for (const auto& records : entry.micro_batches)
      entered.insert(entered.end(), records.begin(), records.end());
    const auto told = static_cast<std::int64_t>(entered.size() + entry.replacements.size());
    if (entry.places - told > kShown) {
      problem("step {}: took {} places of the order, but {} records entered", entry.step, entry.places,
              entered.size());
      return;
    }
    proof_.places += entry.places;
    next_position_ = entry.position + entry.places;
    if (proof_.steps == checkpoint_.step && next_position_ != checkpoint_.position)
      problem("step {} ends at position {} of the order, but its checkpoint was written at position {}",
              proof_.steps, next_position_, checkpoint_.position);
    compare(entry, ruled_records(entry), std::move(entered));
  }

  LedgerProof finish(std::uint64_t torn_bytes) {
    finish_epoch();
    proof_.torn_bytes = torn_bytes;
    if (proof_.steps < checkpoint_.step)
      problem("the ledger ends after step {}, but a checkpoint was written after step {}", proof_.steps,
              checkpoint_.step);
    return std::move(proof_);
  }

 private:
  static constexpr std::int64_t kShown = 100;

  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    if (++proof_.all_problems <= kShown)
      proof_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void follow_on(const LedgerEntry& entry) {
    if (entry.step != proof_.steps + 1)
      problem("entry {} is of step {} (each step should be there once)", proof_.steps + 1, entry.step);
    if (entry.position != next_position_)
      problem("step {} begins at position {} of the order, but the steps before end at {}", entry.step,
              entry.position, next_position_);
  }

  /// The records that should have entered: those of the places in the order, or their substitutes. Both go
  /// into the account of their epoch.
  std::vector<std::int64_t> ruled_records(const LedgerEntry& entry) {
    std::vector<std::int64_t> own, taken;
    for (std::int64_t place = 0; place < entry.places; ++place)
      own.push_back(order_.record_at(entry.position + place));
    taken = own;
    std::vector<bool> is_replaced(own.size(), false);
    for (const Replacement& one : entry.replacements) {
      const auto place = static_cast<std::size_t>(one.place);
      if (place >= own.size() || is_replaced[place] || own[place] != one.record || one.attempts < 1 ||
          one.attempts > order_.substitution.attempts()) {
        problem("step {}: a replacement of record {} at place {}, which is not there", entry.step, one.record,
                one.place);
        continue;
      }
      is_replaced[place] = true;
      taken[place] = one.substitute;
      require_rule(entry, one);
    }
    for (std::size_t place = 0; place < own.size(); ++place)
      account_for(entry.position + static_cast<std::int64_t>(place), own[place], taken[place]);
    std::erase(taken, Replacement::kNothing);
    return taken;
  }

  void require_rule(const LedgerEntry& entry, const Replacement& one) {
    if (one.substitute == Replacement::kNothing) {
      ++proof_.skipped;
      return;
    }
    ++proof_.replaced;
    const std::int64_t ruled =
        order_.record_at(order_.substitution.position(entry.position + one.place, one.attempts));
    if (one.substitute != ruled)
      problem("step {}: record {} was replaced by {}, but the rule's attempt {} is {}", entry.step,
              one.record, one.substitute, one.attempts, ruled);
  }

  void compare(const LedgerEntry& entry, std::vector<std::int64_t> ruled, std::vector<std::int64_t> entered) {
    std::sort(ruled.begin(), ruled.end());
    std::sort(entered.begin(), entered.end());
    for (const std::int64_t record : difference(ruled, entered))
      problem("step {}: record {} did not enter", entry.step, record);
    for (const std::int64_t record : difference(entered, ruled))
      problem("step {}: record {} entered, but has no place in this step", entry.step, record);
  }

  void account_for(std::int64_t position, std::int64_t own, std::int64_t taken) {
    if (const std::int64_t epoch = position / order_.pass_length; epoch != epoch_) {
      finish_epoch();
      epoch_ = epoch;
    }
    if (own < 0 || own >= order_.records) {
      problem("position {} of the order holds record {} of {}", position, own, order_.records);
      return;
    }
    ordered_.push_back(own);
    if (taken != Replacement::kNothing) entered_.push_back(taken);
  }

  void finish_epoch() {
    std::sort(ordered_.begin(), ordered_.end());
    std::sort(entered_.begin(), entered_.end());
    for (auto from = ordered_.begin(); from != ordered_.end();) {
      const auto to = std::upper_bound(from, ordered_.end(), *from);
      if (to - from > order_.most_per_pass(*from))
        problem("epoch {}: the order holds record {} {} times", epoch_ + 1, *from, to - from);
      from = to;
    }
    EpochAccount account{epoch_ + 1, difference(ordered_, entered_), difference(entered_, ordered_)};
    if (!account.absent.empty() || !account.again.empty()) proof_.epochs.push_back(std::move(account));
    if (static_cast<std::int64_t>(ordered_.size()) == order_.pass_length) ++proof_.whole_passes;
    ordered_.clear();
    entered_.clear();
  }

  const LedgerOrder& order_;
  const LedgerMark checkpoint_;
  LedgerProof proof_;
  std::int64_t next_position_ = 0;
  std::int64_t epoch_ = 0;             ///< the one that the steps have come to
  std::vector<std::int64_t> ordered_;  ///< the records of its places so far
  std::vector<std::int64_t> entered_;  ///< and those that took them
};

}  // namespace

LedgerProof verify_ledger(LedgerReader& reader, const LedgerOrder& order, const LedgerMark& checkpoint) {
  Verifier verifier(order, checkpoint);
  while (const auto entry = reader.next()) verifier.take(*entry);
  return verifier.finish(reader.torn_bytes());
}

}  // namespace vrwkv::data
