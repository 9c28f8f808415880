// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/damage.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "common/crc32c.h"
#include "common/error.h"
#include "common/file_system.h"
#include "common/hdf5/file.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/frozen_file.h"
#include "trainer/checkpoint/shard_file.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string title_of(const FileEntry& file, const Manifest& manifest) {
  return file.shard >= 0 ? fmt::format("shard {} of {}", file.shard, manifest.world_size) : file.name;
}

void require_dims(const hdf5::File& file, const std::string& dataset, const hdf5::Dims& dims) {
  if (file.dims(dataset) != dims) throw IoError("{}: has another shape than the manifest says", dataset);
}

/// Every dataset that belongs into the file is there and has its shape. @throws IoError.
void check_datasets(const fs::path& path, const Manifest& manifest, const FileEntry& entry) {
  const hdf5::File file = hdf5::File::open(path);
  if (entry.shard >= 0) {
    for (const char* dataset : {kMasterDataset, kExpAvgDataset, kExpAvgSqDataset})
      require_dims(file, dataset, {entry.end - entry.begin});
    return;
  }
  for (const TensorEntry& tensor : manifest.tensors) {
    if (entry.name == kFrozenFile) {
      if (!tensor.trainable) require_dims(file, frozen_dataset(tensor.name), tensor.shape);
      continue;
    }
    require_dims(file, "/parameters/" + tensor.name, tensor.shape);
    if (!tensor.trainable) continue;
    for (const char* group : {"/masters/", "/exp_avg/", "/exp_avg_sq/"})
      require_dims(file, group + tensor.name, tensor.shape);
  }
}

/// The newest checkpoint before `checkpoint` in the same folder that is sound.
std::optional<fs::path> older_sound_checkpoint(const fs::path& checkpoint) {
  const auto step = step_of(checkpoint);
  if (!step) return {};
  const fs::path folder = fs::absolute(checkpoint / "..").lexically_normal();
  std::vector<fs::path> candidates = list(folder);
  std::reverse(candidates.begin(), candidates.end());
  for (const fs::path& candidate : candidates) {
    if (step_of(candidate) >= step) continue;
    Manifest manifest;
    if (!read_manifest(candidate, manifest) && !find_damage(candidate, manifest)) return candidate;
  }
  return {};
}

/// Damage as a line of text and back: file, a tab, problem; empty for none.
std::string encode(const std::optional<Damage>& damage) {
  return damage ? damage->file + '\t' + damage->problem : std::string();
}

std::optional<Damage> decode(const std::string& line) {
  if (line.empty()) return {};
  const std::size_t tab = line.find('\t');
  return Damage{.problem = line.substr(tab + 1), .file = line.substr(0, tab)};
}

}  // namespace

std::optional<Damage> read_manifest(const fs::path& checkpoint, Manifest& manifest) {
  const auto damaged = [](std::string problem) {
    return Damage{.problem = std::move(problem), .file = kManifestFile};
  };
  try {
    if (!fs::exists(checkpoint / kManifestFile))
      return damaged("manifest.json is missing (it was there at the commit)");
    manifest = parse_manifest(read_file(checkpoint / kManifestFile));
  } catch (const CheckpointError& error) {
    return damaged(error.what());
  } catch (const IoError& error) {
    return damaged(fmt::format("manifest.json cannot be read ({})", error.what()));
  }
  if (const auto step = step_of(checkpoint); step && *step != manifest.state.step)
    return damaged(
        fmt::format("manifest.json is of step {} (files of two checkpoints got mixed)", manifest.state.step));
  return {};
}

std::optional<Damage> find_damage(const fs::path& checkpoint, const Manifest& manifest,
                                  const FileEntry& file) {
  const fs::path path = checkpoint / file.name;
  const auto damaged = [&](const std::string& what) {
    return Damage{.problem = fmt::format("{} {}", title_of(file, manifest), what), .file = file.name};
  };
  try {
    if (!fs::exists(path)) return damaged("is missing (it was there at the commit)");
    const std::uintmax_t bytes = fs::file_size(path);
    if (bytes != file.bytes)
      return damaged(fmt::format("has {} bytes (it had {} at the commit)", bytes, file.bytes));
    const std::uint32_t checksum = checksum_file(path).crc32c;
    if (checksum != file.crc32c)
      return damaged(fmt::format("has other bytes than at the commit (checksum {:08x}, was {:08x})", checksum,
                                 file.crc32c));
    check_datasets(path, manifest, file);
  } catch (const IoError& error) {
    return damaged(fmt::format("cannot be read ({})", error.what()));
  } catch (const fs::filesystem_error& error) {
    return damaged(fmt::format("cannot be read ({})", error.what()));
  }
  return {};
}

std::optional<Damage> find_damage(const fs::path& checkpoint, const Manifest& manifest) {
  for (const FileEntry& file : manifest.files)
    if (auto damage = find_damage(checkpoint, manifest, file)) return damage;
  return {};
}

std::string damage_report(const fs::path& checkpoint, const Damage& damage) {
  const auto older = older_sound_checkpoint(checkpoint);
  return fmt::format("checkpoint {}: {}. Restore {}{}", name_of(checkpoint), damage.problem, damage.file,
                     older ? fmt::format(", or resume from {}.", name_of(*older))
                           : std::string("; there is no older sound checkpoint beside it."));
}

std::optional<Damage> find_damage_together(const fs::path& checkpoint, Manifest& manifest,
                                           const mpi::Communicator& comm) {
  const auto first_of_all_ranks = [&](const std::optional<Damage>& mine) -> std::optional<Damage> {
    for (const std::string& line : comm.all_gather(encode(mine), "check of a checkpoint"))
      if (auto damage = decode(line)) return damage;
    return {};
  };
  if (auto damage = first_of_all_ranks(read_manifest(checkpoint, manifest))) return damage;
  std::optional<Damage> mine;
  const auto ranks = static_cast<std::size_t>(comm.size());
  for (auto i = static_cast<std::size_t>(comm.rank()); i < manifest.files.size() && !mine; i += ranks)
    mine = find_damage(checkpoint, manifest, manifest.files[i]);
  return first_of_all_ranks(mine);
}

Manifest describe(const fs::path& checkpoint) {
  Manifest manifest;
  if (const auto damage = read_manifest(checkpoint, manifest))
    throw CheckpointError("{}", damage_report(checkpoint, *damage));
  return manifest;
}

Manifest verify(const fs::path& checkpoint) {
  Manifest manifest = describe(checkpoint);
  if (const auto damage = find_damage(checkpoint, manifest))
    throw CheckpointError("{}", damage_report(checkpoint, *damage));
  return manifest;
}

}  // namespace vrwkv::checkpoint
