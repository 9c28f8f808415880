// SPDX-License-Identifier: Apache-2.0
#include "trainer/run_directory.h"

#include <fmt/ranges.h>

#include "common/error.h"
#include "common/file_system.h"
#include "trainer/checkpoint/checkpoint.h"

namespace vrwkv::trainer {

ResumeRequest ResumeRequest::parse(const std::string& text) {
  if (text == "auto") return {Mode::kAuto, {}};
  if (text == "never") return {Mode::kNever, {}};
  return {Mode::kPath, text};
}

std::optional<std::filesystem::path> RunDirectory::checkpoint_to_resume(const TrainerConfig& config,
                                                                        const ResumeRequest& request) const {
  if (std::filesystem::exists(this->config())) {
    const auto stored = read_trainer_config(TomlDocument::load(this->config()));
    const auto differences = numeric_differences(config, stored);
    if (!differences.empty())
      throw ConfigError("{}: this run directory holds a run with another configuration ({}). Choose another --run-dir, "
                        "or go back to that configuration.",
                        root_.string(), fmt::join(differences, "; "));
  }
  const auto newest = checkpoint::newest(checkpoints());
  switch (request.mode) {
    case ResumeRequest::Mode::kPath:
      return checkpoint::resolve(request.path);
    case ResumeRequest::Mode::kNever:
      if (newest)
        throw ConfigError("{}: holds a run up to {} (--resume never would overwrite it). Choose another --run-dir, or "
                          "remove the folder.",
                          root_.string(), newest->filename().string());
      return std::nullopt;
    case ResumeRequest::Mode::kAuto:
      return newest;
  }
  return newest;
}

void RunDirectory::prepare(const TrainerConfig& config) const {
  vrwkv::create_directories(log());
  vrwkv::create_directories(checkpoints());
  write_file_atomically(this->config(), config.resolved_toml);
}

}  // namespace vrwkv::trainer
