// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands.h"

namespace vrwkv::launcher {

void add_data(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("data", "Check and prepare what a configuration trains on, and what a run did.");
  command->require_subcommand(1);
  command->footer("Example: vrwkv-dist data ledger runs/quickstart-stage2 verify");
  add_data_index(*command, run);
  add_data_check(*command, run);
  add_data_prepare(*command, run);
  add_data_features(*command, run);
  add_data_ledger(*command, run);
}

}  // namespace vrwkv::launcher
