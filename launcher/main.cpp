// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/log.h"
#include "common/version.h"
#include "launcher/commands.h"

namespace {

using vrwkv::ExitCode;

int to_int(ExitCode code) { return static_cast<int>(code); }

/// CLI11 would only say that a command is missing. @param words  what follows the command `app`.
void require_known_command(const CLI::App& app, std::span<char* const> words) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    names.push_back(command->get_name());
    if (!words.empty() && names.back() == words.front())
      return require_known_command(*command, words.subspan(1));
  }
  if (names.empty() || words.empty() || words.front()[0] == '-') return;
  throw vrwkv::ConfigError("no command '{}'. The commands {}are {}.", words.front(),
                           app.get_parent() == nullptr ? "" : fmt::format("of {} ", app.get_name()),
                           fmt::join(names, ", "));
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Trains VisualRWKV, an RWKV-7 language model that sees, on one machine or a cluster.",
               "vrwkv-dist");
  app.set_version_flag("--version", vrwkv::kVersion);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 data refused, 4 checkpoint damaged,\n"
      "75 stopped on request with a checkpoint written.");
  vrwkv::launcher::Run run;
  vrwkv::launcher::add_train(app, run);
  vrwkv::launcher::add_check(app, run);
  vrwkv::launcher::add_data(app, run);
  vrwkv::launcher::add_eval(app, run);
  vrwkv::launcher::add_generate(app, run);
  vrwkv::launcher::add_forward(app, run);
  vrwkv::launcher::add_checkpoint(app, run);
  try {
    require_known_command(app, {argv + 1, argv + std::max(argc, 1)});
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? to_int(ExitCode::kDone) : to_int(ExitCode::kUsage);
  }
  return run();
}

int run_program(int argc, char** argv) {
  vrwkv::log::start(/*rank=*/0);
  try {
    return parse_and_run(argc, argv);
  } catch (const vrwkv::Error& error) {
    if (error.shown()) fmt::print(stderr, "vrwkv-dist: {}\n", error.what());
    return to_int(error.exit_code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "vrwkv-dist: out of memory. Use a smaller micro-batch or more ranks.\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "vrwkv-dist: {}\n", error.what());
  }
  return to_int(ExitCode::kFailed);
}

}  // namespace

int main(int argc, char** argv) {
  const int code = run_program(argc, argv);
  // Leaves at once. mpirun ends the job when the first rank exits with a code other than 0, and a rank that
  // is still taking LibTorch down then, with MPI already gone, crashes: the job would end with the code of
  // that crash.
  std::fflush(nullptr);
  std::_Exit(code);
}
