// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

/// Names in a run's `checkpoints` folder, and what may be deleted there.
namespace vrwkv::checkpoint {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kIndexFile = "index.h5";
inline constexpr const char* kFrozenFile = "frozen.h5";

/// "step-00001200"
std::string folder_name(std::int64_t step);
/// "rank-0003.h5"
std::string shard_file_name(int rank);
/// The step of a committed checkpoint's folder; none for any other name.
std::optional<std::int64_t> step_of(const std::filesystem::path& folder);
/// The last component, also of a path that ends in a slash.
std::string name_of(const std::filesystem::path& path);

/// A checkpoint while it is written, `step-NNNNNNNN.partial`. Unless it is committed it goes when this object
/// does.
class PartialFolder {
 public:
  /// Makes the folder. @throws IoError.
  PartialFolder(const std::filesystem::path& folder, std::int64_t step);
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;
  ~PartialFolder();

  /// Syncs and renames to the final name, replacing a checkpoint of that name. @throws IoError.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path final_;
  bool committed_ = false;
};

/// Where the files of a checkpoint are written before the commit.
std::filesystem::path partial_path(const std::filesystem::path& folder, std::int64_t step);
/// Removes every `step-*.partial` folder. @throws IoError.
void remove_partial_folders(const std::filesystem::path& folder);
/// Removes all but the `keep_last` newest checkpoints, and never that of step `just_saved`. What cannot be
/// deleted is logged and stays.
void remove_old_checkpoints(const std::filesystem::path& folder, int keep_last, std::int64_t just_saved);

}  // namespace vrwkv::checkpoint
