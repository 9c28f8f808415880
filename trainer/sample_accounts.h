// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/mpi/communicator.h"
#include "data/ledger/ledger_file.h"
#include "data/ledger/quarantine.h"
#include "data/loader.h"
#include "trainer/run_directory.h"

namespace vrwkv::trainer {

/// What a run writes down of its samples, on rank 0: ledger.bin, which sample entered which micro-batch of
/// which step, and quarantine.json, which could not be trained on and why (only made when there is one).
class SampleAccounts {
 public:
  /// Opens the files of rank 0, the ledger after its first `completed_steps` entries. A list of this data
  /// that lies there goes on, also when the run starts anew; one of other data is replaced when there is a
  /// bad sample.
  /// @throws CheckpointError, DataError, IoError as data::LedgerWriter and data::Quarantine.
  SampleAccounts(const RunDirectory& directory, const data::Loader& loader, std::int64_t completed_steps,
                 const mpi::Communicator& world);

  /// Collective. Tells rank 0 which samples this rank found to be bad and what replaced them, and lists the
  /// bad ones there.
  void collect(const std::vector<data::MicroBatch>& batches);
  /// Rank 0 appends the step, with what was collected since the last one. @throws IoError.
  void enter(std::int64_t step, const data::StepPlan& plan);

 private:
  const mpi::Communicator& world_;
  std::filesystem::path quarantine_file_;
  data::Quarantine quarantine_;
  std::vector<data::Replacement> replacements_;  ///< of the step, by place
  std::optional<data::LedgerWriter> ledger_;     ///< rank 0
};

/// The records that entered each micro-batch of a step, once the replacements are made.
data::LedgerEntry ledger_entry(std::int64_t step, const data::StepPlan& plan,
                               std::vector<data::Replacement> replacements);

}  // namespace vrwkv::trainer
