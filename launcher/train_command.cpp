// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/mpi/all_or_none.h"
#include "launcher/commands.h"
#include "launcher/ranks.h"
#include "trainer/stop_signal.h"
#include "trainer/trainer.h"

namespace vrwkv::launcher {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  std::string run_directory;
  std::int64_t max_steps = 0;
  std::string resume = "auto";
};

std::string summary_line(const trainer::TrainSummary& summary, const trainer::TrainerConfig& config) {
  std::string line =
      fmt::format("{} at step {} of {}", summary.stopped_on_request ? "stopped on request" : "done",
                  summary.step, config.train.steps);
  if (summary.last_loss && summary.first_loss)
    line += fmt::format(": loss {:.4f}, it was {:.4f} at step 1", *summary.last_loss, *summary.first_loss);
  if (summary.checkpoint) line += fmt::format(" | checkpoint {}", summary.checkpoint->string());
  return line + fmt::format(" | run {}", config.run.directory.string());
}

int train(const Options& options, mpi::Communicator& world) {
  trainer::install_stop_signals();
  const auto config = mpi::all_or_none(world, "configuration", [&] {
    return trainer::read_trainer_config(TomlDocument::load(options.config, options.settings),
                                        options.run_directory.empty()
                                            ? std::nullopt
                                            : std::optional<std::filesystem::path>(options.run_directory));
  });
  world.set_limit(std::chrono::seconds(config.run.wait_limit_seconds));
  set_up_threads(config.run.threads_per_rank);
  trainer::TrainOptions train_options;
  train_options.resume = trainer::ResumeRequest::parse(options.resume);
  if (options.max_steps > 0) train_options.max_steps = options.max_steps;
  const trainer::Compute compute = choose_compute(config.run.device, config.train.precision, world);
  trainer::Trainer trainer(config, train_options, compute, world);
  const trainer::TrainSummary summary = trainer.run();
  log::write_information(summary_line(summary, config));
  return static_cast<int>(summary.stopped_on_request ? ExitCode::kStoppedOnRequest : ExitCode::kDone);
}

}  // namespace

void add_train(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("train", "Train a configuration, alone or on the ranks of mpirun or srun.");
  command->add_option("CONFIG", options->config, "Configuration file (TOML)")->required();
  command->add_option("--set", options->settings, "Override one key: table.key=value (repeatable)");
  command->add_option("--run-dir", options->run_directory, "Folder of the run, instead of [run] directory");
  command->add_option("--max-steps", options->max_steps, "End at this step; the schedule keeps its length")
      ->check(CLI::PositiveNumber);
  command->add_option("--resume", options->resume, "auto, never, or the checkpoint to go on from")
      ->capture_default_str();
  command->footer("Example: mpirun -n 2 vrwkv-dist train configs/quickstart-stage1.toml");
  command->callback([options, &run] {
    run = [options] {
      return run_on_ranks([options](mpi::Communicator& world) { return train(*options, world); });
    };
  });
}

}  // namespace vrwkv::launcher
