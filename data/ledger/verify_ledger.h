// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/ledger/ledger_file.h"
#include "data/plan/substitution.h"

namespace vrwkv::data {

/// The order that a ledger is held against.
struct LedgerOrder {
  std::function<std::int64_t(std::int64_t)> record_at;  ///< the record at a position
  std::int64_t records = 0;                             ///< numbers of records are below it
  std::int64_t pass_length = 0;                         ///< positions of an epoch
  Substitution substitution;
  /// How often a record may come up in an epoch; once, unless its source has a weight.
  std::function<std::int64_t(std::int64_t)> most_per_pass = [](std::int64_t) { return 1; };
  std::int64_t left_out = 0;  ///< records without a place in an epoch, at least
};

/// What the newest checkpoint of a run says: the ledger holds its steps, at least.
struct LedgerMark {
  std::int64_t step = 0;      ///< completed steps
  std::int64_t position = 0;  ///< places that they took
};

/// Where an epoch differs from the order, so far: bad samples and what took their places.
struct EpochAccount {
  std::int64_t epoch = 0;            ///< from 1
  std::vector<std::int64_t> absent;  ///< records that did not enter: they were replaced or skipped
  std::vector<std::int64_t> again;   ///< records that entered beside their own place, in that of another
};

/// What a ledger proves. Nothing but what it says was done is taken from it: the order is computed again.
struct LedgerProof {
  std::int64_t steps = 0;
  std::int64_t places = 0;        ///< samples that the steps took from the order
  std::int64_t whole_passes = 0;  ///< epochs of which every place was taken
  std::int64_t replaced = 0;
  std::int64_t skipped = 0;
  std::vector<EpochAccount> epochs;   ///< in which samples were replaced or skipped
  std::uint64_t torn_bytes = 0;       ///< of a last entry that a kill cut off; its step does not count
  std::vector<std::string> problems;  ///< the first hundred
  std::int64_t all_problems = 0;

  bool proven() const { return all_problems == 0; }
};

/// Proves that steps and positions follow on each other from the beginning without gap or overlap, that each
/// step's micro-batches hold the records of its places in the order, or the rule's substitutes, and no
/// others, that the order has no record more often in an epoch than it may, and that the steps up to the
/// checkpoint are there; or says which do not. Takes memory and time as the file's size is, whatever it says.
/// @throws DataError as LedgerReader.
LedgerProof verify_ledger(LedgerReader& reader, const LedgerOrder& order, const LedgerMark& checkpoint = {});

}  // namespace vrwkv::data
