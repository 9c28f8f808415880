// SPDX-License-Identifier: Apache-2.0
#include "trainer/checkpoint/checkpoint_folder.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "common/error.h"
#include "common/file_system.h"
#include "common/log.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kPartialSuffix = ".partial";
constexpr std::size_t kStepDigits = 8;

bool is_partial(const std::string& name) {
  return name.starts_with(kStepPrefix) && name.ends_with(kPartialSuffix);
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure)
    throw IoError("{}: cannot be renamed to {} ({})", from.string(), name_of(to), failure.message());
}

/// Folders right in `folder`; none when it does not exist.
std::vector<fs::path> subfolders(const fs::path& folder) {
  std::vector<fs::path> result;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    std::error_code unreadable;
    if (entry.is_directory(unreadable)) result.push_back(entry.path());
  }
  if (failure && failure != std::errc::no_such_file_or_directory)
    throw IoError("{}: cannot be listed ({})", folder.string(), failure.message());
  return result;
}

}  // namespace

std::string folder_name(std::int64_t step) { return fmt::format("{}{:08}", kStepPrefix, step); }

std::string shard_file_name(int rank) { return fmt::format("rank-{:04}.h5", rank); }

std::string name_of(const fs::path& path) {
  const fs::path clean = path.lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

std::optional<std::int64_t> step_of(const fs::path& folder) {
  const std::string name = name_of(folder);
  if (!name.starts_with(kStepPrefix) || name.size() < kStepPrefix.size() + kStepDigits) return {};
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, failure] = std::from_chars(name.data() + kStepPrefix.size(), end, step);
  if (failure != std::errc() || stop != end || step < 0) return {};
  return step;
}

fs::path partial_path(const fs::path& folder, std::int64_t step) {
  return folder / (folder_name(step) + std::string(kPartialSuffix));
}

PartialFolder::PartialFolder(const fs::path& folder, std::int64_t step)
    : path_(partial_path(folder, step)), final_(folder / folder_name(step)) {
  std::error_code failure;
  fs::create_directory(path_, failure);
  if (failure) throw IoError("{}: cannot be created ({})", path_.string(), failure.message());
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(path_, ignored);
}

void PartialFolder::commit() {
  sync_to_disk(path_);
  const fs::path replaced = final_.string() + ".replaced" + std::string(kPartialSuffix);
  const bool replaces = fs::exists(final_);
  if (replaces) rename_or_throw(final_, replaced);
  rename_or_throw(path_, final_);
  committed_ = true;
  sync_to_disk(final_.parent_path());
  std::error_code ignored;  // the next save tries again
  if (replaces) fs::remove_all(replaced, ignored);
}

void remove_partial_folders(const fs::path& folder) {
  for (const fs::path& path : subfolders(folder)) {
    if (!is_partial(name_of(path))) continue;
    std::error_code failure;
    fs::remove_all(path, failure);
    if (failure) throw IoError("{}: cannot be deleted ({})", path.string(), failure.message());
  }
}

void remove_old_checkpoints(const fs::path& folder, int keep_last, std::int64_t just_saved) {
  const std::vector<fs::path> all = list(folder);
  const auto excess = static_cast<std::ptrdiff_t>(all.size()) - std::max(keep_last, 1);
  for (std::ptrdiff_t i = 0; i < excess; ++i) {
    const fs::path& path = all[static_cast<std::size_t>(i)];
    if (step_of(path) == just_saved) continue;
    // Under its own name a half-deleted folder would look like a committed checkpoint.
    const fs::path doomed = path.string() + std::string(kPartialSuffix);
    std::error_code failure;
    fs::rename(path, doomed, failure);
    if (!failure) fs::remove_all(doomed, failure);
    if (failure) log::warning("{}: cannot be deleted ({}); it stays", path.string(), failure.message());
  }
}

std::vector<fs::path> list(const fs::path& folder) {
  std::vector<fs::path> result;
  for (const fs::path& path : subfolders(folder))
    if (step_of(path)) result.push_back(path);
  std::sort(result.begin(), result.end(),
            [](const fs::path& a, const fs::path& b) { return step_of(a) < step_of(b); });
  return result;
}

std::optional<fs::path> newest(const fs::path& folder) {
  std::vector<fs::path> all = list(folder);
  if (all.empty()) return {};
  return std::move(all.back());
}

fs::path resolve(const fs::path& given) {
  // Its parents are asked for later: "step-00000010/" and "." should have the right ones.
  const fs::path normal = fs::absolute(given).lexically_normal();
  const fs::path path = normal.has_filename() ? normal : normal.parent_path();
  if (!fs::is_directory(path))
    throw ConfigError("{}: {} (a run directory, its checkpoints folder or one checkpoint is needed).",
                      path.string(), fs::exists(path) ? "not a folder" : "no such folder");
  if (is_partial(name_of(path)))
    throw CheckpointError(
        "checkpoint {}: it was never committed (its write was interrupted). Use another one.", name_of(path));
  if (step_of(path) || fs::exists(path / kManifestFile)) return path;
  if (auto checkpoint = newest(path)) return *checkpoint;
  if (auto checkpoint = newest(path / "checkpoints")) return *checkpoint;
  throw ConfigError(
      "{}: no checkpoint in it (step-NNNNNNNN folders are looked for in it and in its checkpoints/).",
      path.string());
}

}  // namespace vrwkv::checkpoint
