// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

/// One function a command: adds the subcommand with its options and help; when the user chose it, `run`
/// becomes its work, which returns the exit code or throws a vrwkv::Error.
namespace vrwkv::launcher {

inline constexpr const char* kModelHelp = "Run directory, checkpoint, or file of published weights";
inline constexpr const char* kDeviceHelp = "Where to compute; auto: on a GPU where there is one";
inline constexpr const char* kLeftPaddingHelp =
    "Decode as the original: padded to multiples of 16, everything computed again for each token (slow)";
inline constexpr const char* kModelSetHelp =
    "With published weights: a key of [model], [vision] or [data] (how samples are read) that replaces what "
    "the shapes or the defaults say (repeatable), for example vision.siglip.heads=4 or "
    "model.compat=visualrwkv-7.00";

using Run = std::function<int()>;

void add_train(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_eval(CLI::App& app, Run& run);
void add_forward(CLI::App& app, Run& run);
void add_generate(CLI::App& app, Run& run);
void add_checkpoint(CLI::App& app, Run& run);
/// `import` and `export`, below `checkpoint`.
void add_weights(CLI::App& checkpoint, Run& run);

void add_data(CLI::App& app, Run& run);
/// Below `data`.
void add_data_index(CLI::App& data, Run& run);
void add_data_check(CLI::App& data, Run& run);
void add_data_prepare(CLI::App& data, Run& run);
void add_data_features(CLI::App& data, Run& run);
void add_data_ledger(CLI::App& data, Run& run);

}  // namespace vrwkv::launcher
