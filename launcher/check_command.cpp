// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "common/error.h"
#include "launcher/commands.h"
#include "trainer/trainer_config.h"

namespace vrwkv::launcher {

void add_check(CLI::App& app, Run& run) {
  struct Options {
    std::string config;
    std::vector<std::string> settings;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("check", "Print the resolved configuration, or the error with file and line.");
  command->add_option("CONFIG", options->config, "Configuration file (TOML)")->required();
  command->add_option("--set", options->settings, "Override one key: table.key=value (repeatable)");
  command->add_flag("--json", options->json, "Print JSON instead of TOML");
  command->footer("Example: vrwkv-dist check configs/quickstart-stage1.toml --set train.steps=10");
  command->callback([options, &run] {
    run = [options] {
      const auto config =
          trainer::read_trainer_config(TomlDocument::load(options->config, options->settings));
      const auto text = options->json ? TomlDocument::parse(config.resolved_toml, options->config).as_json()
                                      : config.resolved_toml;
      fmt::print("{}\n", text);
      return static_cast<int>(ExitCode::kDone);
    };
  });
}

}  // namespace vrwkv::launcher
