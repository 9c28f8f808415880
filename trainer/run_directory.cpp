// SPDX-License-Identifier: Apache-2.0
#include "trainer/run_directory.h"

#include <fmt/ranges.h>

#include "common/error.h"
#include "common/file_system.h"
#include "common/log.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::trainer {
namespace {

/// @param stored  the configuration of what lies at `path`: of `what`, which `option` chose.
void require_same_numbers(const TrainerConfig& config, const TrainerConfig& stored,
                          const std::filesystem::path& path, const char* what, const char* option) {
  const auto differences = numeric_differences(config, stored);
  if (!differences.empty())
    throw ConfigError(
        "{}: this {} a run with another configuration ({}). Choose another {}, or go back to that "
        "configuration.",
        path.string(), what, fmt::join(differences, "; "), option);
}

std::filesystem::path requested_checkpoint(const TrainerConfig& config, const std::filesystem::path& path) {
  std::filesystem::path checkpoint = checkpoint::resolve(path);
  const std::string stored = checkpoint::describe(checkpoint).state.config_toml;
  require_same_numbers(config, read_stored_config(stored, checkpoint / "config.toml"), checkpoint,
                       "checkpoint was written by", "--resume");
  return checkpoint;
}

}  // namespace

ResumeRequest ResumeRequest::parse(const std::string& text) {
  if (text == "auto") return {Mode::kAuto, {}};
  if (text == "never") return {Mode::kNever, {}};
  return {Mode::kPath, text};
}

std::optional<std::filesystem::path> RunDirectory::checkpoint_to_resume(const TrainerConfig& config,
                                                                        const ResumeRequest& request) const {
  if (std::filesystem::exists(this->config())) {
    const auto stored = read_trainer_config(TomlDocument::load(this->config()));
    require_same_numbers(config, stored, root_, "run directory holds", "--run-dir");
  }
  const auto newest = checkpoint::newest(checkpoints());
  switch (request.mode) {
    case ResumeRequest::Mode::kPath:
      return requested_checkpoint(config, request.path);
    case ResumeRequest::Mode::kNever:
      if (newest)
        throw ConfigError(
            "{}: holds a run up to {} (--resume never would overwrite it). Choose another --run-dir, or "
            "remove the folder.",
            root_.string(), newest->filename().string());
      return std::nullopt;
    case ResumeRequest::Mode::kAuto:
      return newest;
  }
  return newest;
}

std::filesystem::path RunDirectory::written_before(const std::filesystem::path& file,
                                                   const std::filesystem::path& resumed_from) const {
  const auto origin = resumed_from.parent_path().parent_path() / file.filename();
  const bool goes_on = std::filesystem::exists(file) && checkpoint::newest(checkpoints());
  return goes_on || !std::filesystem::exists(origin) ? file : origin;
}

void RunDirectory::abandon_checkpoints_after(std::int64_t step) const {
  for (const auto& path : checkpoint::list(checkpoints())) {
    if (path.filename().string() <= fmt::format("step-{:08}", step)) continue;
    const std::filesystem::path aside = path.string() + ".abandoned";
    std::error_code failure;
    std::filesystem::remove_all(aside, failure);
    if (!failure) std::filesystem::rename(path, aside, failure);
    if (failure) throw IoError("{}: cannot be set aside ({})", path.string(), failure.message());
    log::warning("{} belongs to steps that are computed again; it is {} now", path.string(),
                 aside.filename().string());
  }
}

void RunDirectory::prepare(const TrainerConfig& config) const {
  vrwkv::create_directories(log());
  vrwkv::create_directories(checkpoints());
  write_file_atomically(this->config(), config.resolved_toml);
}

}  // namespace vrwkv::trainer
