// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "trainer/trainer_config.h"

namespace vrwkv::trainer {

/// What `--resume` may say.
struct ResumeRequest {
  enum class Mode { kAuto, kNever, kPath } mode = Mode::kAuto;
  std::filesystem::path path;
  static ResumeRequest parse(const std::string& text);
};

/// The folder that holds everything about one run.
class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config() const { return root_ / "config.toml"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path ledger() const { return root_ / "ledger.bin"; }
  std::filesystem::path quarantine() const { return root_ / "quarantine.json"; }
  std::filesystem::path log() const { return root_ / "log"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path requeue_marker() const { return root_ / "REQUEUE"; }

  /// The checkpoint to go on from, or none to start at step 0. Reads only.
  /// @throws ConfigError when the folder or the requested checkpoint belongs to a run whose configuration
  /// gives other numbers, or the folder holds a run that the request would overwrite.
  std::optional<std::filesystem::path> checkpoint_to_resume(const TrainerConfig& config,
                                                            const ResumeRequest& request) const;
  /// Where one of the files above is, as it was written up to a checkpoint: here, unless this directory has
  /// no checkpoint and goes on from one of another run.
  std::filesystem::path written_before(const std::filesystem::path& file,
                                       const std::filesystem::path& resumed_from) const;
  /// Renames the checkpoints of later steps to step-NNNNNNNN.abandoned, where nothing looks for them: a run
  /// that goes on from an older checkpoint has left them behind. One rank does it. @throws IoError.
  void abandon_checkpoints_after(std::int64_t step) const;
  /// Makes the folder and writes config.toml. One rank does it. @throws IoError.
  void prepare(const TrainerConfig& config) const;

 private:
  std::filesystem::path root_;
};

}  // namespace vrwkv::trainer
