// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

/// One function a command: adds the subcommand with its options and help; when the user chose it, `run`
/// becomes its work, which returns the exit code or throws a vrwkv::Error.
namespace vrwkv::launcher {

using Run = std::function<int()>;

void add_train(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_eval(CLI::App& app, Run& run);
void add_forward(CLI::App& app, Run& run);
void add_generate(CLI::App& app, Run& run);
void add_checkpoint(CLI::App& app, Run& run);

}  // namespace vrwkv::launcher
