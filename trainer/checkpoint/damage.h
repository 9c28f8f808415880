// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/mpi/communicator.h"
#include "trainer/checkpoint/manifest.h"

/// Finding out what is wrong with a checkpoint, and saying so.
namespace vrwkv::checkpoint {

/// One thing wrong with a checkpoint.
struct Damage {
  std::string problem;  ///< "shard 3 of 8 is missing (it was there at the commit)"
  std::string file;     ///< what to restore
};

/// Reads the manifest into `manifest`, or says why it cannot be used.
std::optional<Damage> read_manifest(const std::filesystem::path& checkpoint, Manifest& manifest);
/// Compares every byte of one file of the checkpoint with the manifest, and its datasets with what belongs
/// there.
std::optional<Damage> find_damage(const std::filesystem::path& checkpoint, const Manifest& manifest,
                                  const FileEntry& file);
/// The same for all files, the first damage found.
std::optional<Damage> find_damage(const std::filesystem::path& checkpoint, const Manifest& manifest);

/// "checkpoint step-N: <problem>. Restore <file>, or resume from <the newest older checkpoint that is
/// sound>."
std::string damage_report(const std::filesystem::path& checkpoint, const Damage& damage);

/// Collective. The ranks share the reading of all files. @return on every rank the same first damage, or
/// none.
std::optional<Damage> find_damage_together(const std::filesystem::path& checkpoint, Manifest& manifest,
                                           const mpi::Communicator& comm);

}  // namespace vrwkv::checkpoint
